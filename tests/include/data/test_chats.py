"""Chats: what is read, how each fault is named, and which side of the split they are on."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.data import chats
from include.data.chats import MAX_LINE_BYTES, ROLES, SHOWN, Chat, Message
from include.errors import InputError
from include.spec.problem import SpecError

Jsonl = Callable[..., Path]


def chat(question: str, answer: str = "yes", system: str = "", **more: Any) -> dict[str, Any]:
    first = [{"role": "system", "content": system}] if system else []
    return {"messages": [*first, {"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


@pytest.fixture
def jsonl(tmp_path: Path) -> Jsonl:
    def jsonl(*lines: str | bytes | dict[str, Any]) -> Path:
        raw = [line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode() for line in lines]
        (tmp_path / "chats.jsonl").write_bytes(b"\n".join(raw))
        return tmp_path / "chats.jsonl"

    return jsonl


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        chats.read(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_chats_are_read_in_order_with_their_task(jsonl: Jsonl) -> None:
    first, second = chats.read(jsonl(chat("2+2?", "4", task="sum"), "", chat("Hi", system="Be kind.")))
    assert (first.task, first.answer, first.prompt) == ("sum", "4", (Message("user", "2+2?"),))
    assert (second.task, second.prompt[0]) == ("all", Message("system", "Be kind."))


def test_a_byte_order_mark_and_windows_line_ends_do_not_count(jsonl: Jsonl) -> None:
    (one,) = chats.read(jsonl(b"\xef\xbb\xbf" + json.dumps(chat("Grüße")).encode() + b"\r", b"\r"))
    assert one.prompt[0].content == "Grüße"


MANY = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{'messages'", "is not JSON: Expecting property name enclosed in double quotes (column 2)."),
        (MANY, "is not JSON: Expecting ',' delimiter (column 86)."),
        (b'{"messages": "\xff"}', "is not UTF-8: byte 0xff."),
        ("[" * 100_000, "is not JSON that can be read"),
        ("1" * 5000, "is not JSON that can be read"),
        ("[]", "is a list, not a chat."),
        ({}, "messages: is missing."),
        ({"messages": []}, "messages: holds no message."),
        ({"messages": "hi"}, "messages: is a text, not a list."),
        (chat("a") | {"taks": "sum"}, "taks: unknown field. Did you mean `task`? Allowed: messages, task."),
        (chat("a", task=3), "task: must be a text of 1 to 80 characters."),
        (chat("a", task=" "), "task: must be a text of 1 to 80 characters."),
        ({"messages": ["hi"]}, "messages[0]: is not a role and its content."),
        ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, "messages[0]: is not a role and its content."),
        ({"messages": [{"role": "usr", "content": "a"}]}, "messages[0].role: 'usr' is no role. Did you mean 'user'?"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "messages[0].role: \"['user']\" is no role."),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content: is a list, not a text."),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content: is empty, not a text."),
        (chat(" \n"), "messages[0].content: is empty."),
        (chat("a", ""), "messages[1].content: is empty."),
        (chat("a\0"), "messages[0].content: holds a NUL character"),
        (chat("a\ud83d"), "messages[0].content: holds a NUL character or half a Unicode character."),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "messages[0].role: a message of the assistant comes first."),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
            "messages[1].role: a message of the user follows the user's.",
        ),
        (
            {"messages": [*chat("a")["messages"], {"role": "assistant", "content": "b"}]},
            "messages[2].role: a message of the assistant follows the assistant's.",
        ),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]},
            "messages[1].role: a system message is not the first.",
        ),
        (
            {"messages": [{"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}]},
            "messages[1].role: a message of the assistant follows the system's.",
        ),
        ({"messages": [{"role": "user", "content": "a"}]}, "messages: ends with a user's message."),
        ({"messages": [{"role": "system", "content": "a"}]}, "messages: ends with a system's message."),
    ],
)
def test_each_fault_is_named_with_file_line_and_field(jsonl: Jsonl, line: str | bytes | dict[str, Any], expected: str) -> None:
    assert refusal(jsonl(chat("good"), line, chat("good"))).startswith(f"chats.jsonl:2: {expected}")


def test_every_faulty_chat_is_listed_up_to_a_number(jsonl: Jsonl) -> None:
    lines = refusal(jsonl(*["x"] * (SHOWN + 7), chat("good"))).splitlines()
    assert [line.split(":")[1] for line in lines] == [str(n) for n in range(1, SHOWN + 1)] + [str(SHOWN)]
    assert lines[-1].endswith("7 more chats have faults.")


def test_a_line_of_ten_megabytes_is_refused_by_its_number(jsonl: Jsonl) -> None:
    assert refusal(jsonl(chat("good"), chat("a" * 10_000_000))).startswith("chats.jsonl:2: is longer than 8 MiB.")
    (long,) = chats.read(jsonl(chat("a" * (MAX_LINE_BYTES - 200))))
    assert len(long.prompt[0].content) == MAX_LINE_BYTES - 200


@pytest.mark.parametrize("raw", [b"", b"\n \n"])
def test_a_file_without_chats_is_refused(jsonl: Jsonl, raw: bytes) -> None:
    assert refusal(jsonl(raw)).startswith("chats.jsonl: holds no chat.")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is no plain file." in refusal(tmp_path / "pipe.jsonl")
    assert "can't be read: No such file or directory." in refusal(tmp_path / "none.jsonl")


def test_a_function_s_chats_are_checked_by_their_number() -> None:
    with pytest.raises(SpecError, match=r"^data:load:2: messages: is missing\."):
        chats.of([chat("a"), {}], "data:load")


LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(ROLES)
KEYS = st.sampled_from(["messages", "task", "role", "content"])


@pytest.mark.slow
@given(st.recursive(LEAVES, lambda part: st.lists(part) | st.dictionaries(KEYS, part)))
def test_whatever_it_is_given_it_answers_with_a_chat_or_an_input_error(value: Any) -> None:
    try:
        (one,) = chats.of([value], "data:load")
    except InputError as error:
        assert "data:load" in str(error)
    else:
        assert one.messages[-1].role == "assistant"


def asked(question: str, answer: str = "yes") -> Chat:
    return Chat((Message("user", question), Message("assistant", answer)))


def test_an_id_is_of_the_prompt_alone() -> None:
    assert asked("a", "b").id == asked("a", "c").id != asked("A", "b").id
    assert len(asked("a").id) == 16
    assert Chat((Message("system", "a"), Message("user", "b"), Message("assistant", "c"))).id != asked("b", "c").id


@given(st.text(st.characters(codec="ascii")), st.floats(0.01, 0.89))
def test_a_side_depends_on_the_prompt_alone_and_a_larger_fraction_only_adds(question: str, fraction: float) -> None:
    side = asked(question, "b").split(fraction)
    assert side == asked(f"  {question.upper()}\n", "c").split(fraction)
    assert side == "train" or asked(question).split(min(fraction * 1.5, 0.9)) == "eval"


def test_the_held_out_share_is_about_the_fraction() -> None:
    held_out = sum(asked(f"What is {n}?").split(0.2) == "eval" for n in range(2000))
    assert 340 < held_out < 460


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    given_chats = [asked(f"What is {n} €?", str(n)) for n in range(50)]
    rows = chats.write(given_chats, tmp_path / "chats.jsonl", 0.3)
    assert chats.table(tmp_path / "chats.jsonl") == rows
    assert [row.answer for row in rows] == [str(n) for n in range(50)]
    held_out = chats.table(tmp_path / "chats.jsonl", "eval")
    assert {row.split for row in held_out} == {"eval"} and 0 < len(held_out) < 50
    assert rows[0].prompt == [{"role": "user", "content": "What is 0 €?"}]
    assert set(json.loads((tmp_path / "chats.jsonl").read_text().splitlines()[0])) == {"id", "split", "task", "messages"}


@pytest.mark.parametrize(("fraction", "side"), [(0.0001, "held out to judge by"), (0.9999, "left to train on")])
def test_a_side_without_chats_is_refused(tmp_path: Path, fraction: float, side: str) -> None:
    with pytest.raises(InputError, match=f"data.test_fraction: no chat is {side}"):
        chats.write([asked(f"{n}?") for n in range(20)], tmp_path / "chats.jsonl", fraction)
    assert not (tmp_path / "chats.jsonl").exists()


def test_characters_that_nobody_sees_are_said_and_those_of_writing_are_not(jsonl: Jsonl) -> None:
    said: list[str] = []
    path = jsonl(chat("a"), chat("b", "yes\u200b, \u202eno"), chat("c", "\u2060soft\u00ad"))
    assert len(chats.read(path, say=said.append)) == 3
    assert said == [
        "chats.jsonl: 2 chats hold characters that nobody sees (U+00AD, U+200B, U+202E, U+2060), first in line 2: "
        "a model learns them like others."
    ]
    said.clear()
    chats.read(jsonl(chat("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f9d1\u200d\U0001f4bb \u2764\ufe0f")), say=said.append)
    assert said == []
