"""The input of a batch: what counts as a prompt, and how each mistake is named."""

import json
from pathlib import Path

import pytest

from include.batch import items
from include.batch.items import Item
from include.errors import InputError
from include.spec.problem import SpecError

USER = {"role": "user", "content": "How much is 2 + 2?"}
SAID = {"role": "assistant", "content": "4"}


def lay_out(tmp_path: Path, *lines: object) -> list[Item]:
    source = tmp_path / "in.jsonl"
    source.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    count = items.lay_out(source, tmp_path / "items.jsonl")
    found = list(items.read(tmp_path / "items.jsonl", 0, count))
    assert [number for number, _ in found] == list(range(count)) and len(found) == count
    return [item for _, item in found]


def test_chats_prompts_and_rows_of_a_snapshot_are_all_prompts(tmp_path: Path) -> None:
    row = {"id": "00ff", "split": "eval", "task": "sum", "messages": [USER, SAID]}
    found = lay_out(tmp_path, {"messages": [USER]}, "", {"prompt": "Hi", "id": 7}, row, {"messages": [USER, SAID, USER]})
    assert found == [
        Item(1, "1", [USER]),
        Item(3, "7", [{"role": "user", "content": "Hi"}]),
        Item(4, "00ff", [USER], "4"),
        Item(5, "5", [USER, SAID, USER]),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "in.jsonl:2: is not JSON"),
        ("[1]", "in.jsonl:2: is no mapping."),
        ({"message": []}, "in.jsonl:2: message: unknown field. Did you mean `messages`?"),
        ({"id": "x"}, "in.jsonl:2: has neither `messages` nor `prompt`."),
        ({"prompt": "a", "messages": [USER]}, "in.jsonl:2: has both"),
        ({"prompt": " "}, "in.jsonl:2: prompt: must be a text that is not empty."),
        ({"prompt": 3}, "in.jsonl:2: prompt: must be a text"),
        ('{"prompt": "a", "id": "\\ud83d"}', "in.jsonl:2: id: holds half a Unicode character."),
        ({"prompt": "a\0b"}, "in.jsonl:2: prompt: holds a NUL character"),
        ({"prompt": "a", "id": {}}, "in.jsonl:2: id: must be a text of at most 200 characters"),
        ({"messages": []}, "in.jsonl:2: messages: holds no message."),
        ({"messages": None}, "in.jsonl:2: messages: is missing."),
        ({"messages": [{"role": "user"}]}, "in.jsonl:2: messages[0]: is not a role and its content."),
        ({"messages": [USER, USER]}, "in.jsonl:2: messages[1].role: a message of the user follows the user's."),
        ({"messages": [{"role": "usr", "content": "x"}]}, "in.jsonl:2: messages[0].role: 'usr' is no role. Did you mean 'user'?"),
        ({"messages": [{"role": "system", "content": "x"}]}, "in.jsonl:2: messages: asks nothing"),
    ],
)
def test_each_mistake_is_named_by_file_line_and_field(tmp_path: Path, line: object, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        lay_out(tmp_path, {"prompt": "fine"}, line)
    assert expected in str(caught.value)
    assert not (tmp_path / "items.jsonl").exists()


def test_every_fault_is_told_and_many_are_counted(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        lay_out(tmp_path, *[{"prompt": ""}] * 30)
    assert len(caught.value.problems) == 21 and "10 more lines have faults." in str(caught.value)


def test_a_file_without_prompts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no prompt"):
        lay_out(tmp_path, "", " ")
