"""Labels are read as people write them, and each fault is named by its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from include.errors import InputError
from include.judge import labels
from include.judge.labels import FIVE, TWO


def line(number: int, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "How much?"}, {"role": "assistant", "content": str(number)}]
    return {"messages": messages, "mark": "good" if number % 2 else "bad"} | more


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


def write(path: Path, *lines: Any, good: int = 20) -> Path:
    """``good`` lines without fault, then ``lines``."""
    texts = [json.dumps(line(number)) for number in range(good)]
    path.write_text("\n".join([*texts, *(one if isinstance(one, str) else json.dumps(one) for one in lines)]))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        labels.read(path)
    return str(caught.value)


def test_two_marks_from_the_worst_to_the_best(path: Path) -> None:
    found = labels.read(write(path))
    assert (found.scale, found.with_reference, len(found.labels)) == (TWO, False, 20)
    assert [label.mark for label in found.labels[:2]] == [0, 1]
    assert found.labels[1].prompt == [{"role": "user", "content": "How much?"}] and found.labels[1].answer == "1"


def test_five_marks_and_a_reference(path: Path) -> None:
    found = labels.read(write(path, *(line(number, mark=1 + number % 5, reference="12") for number in range(30)), good=0))
    assert (found.scale, found.with_reference) == (FIVE, True)
    assert [label.mark for label in found.labels[:6]] == [0, 1, 2, 3, 4, 0] and found.labels[0].reference == "12"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("not json", "labels.jsonl:21: is not JSON"),
        ([], "labels.jsonl:21: is no marked answer."),
        (line(50, marks="good"), "labels.jsonl:21: marks: unknown field. Did you mean `mark`?"),
        (line(50, mark="fine"), "labels.jsonl:21: mark: 'fine' is no mark. Write good or bad, or a number from 1 to 5."),
        (line(50, mark=True), "labels.jsonl:21: mark: 'True' is no mark."),
        (line(50, mark=4), "labels.jsonl:21: mark: 4 is of another scale than the 'bad' of the lines before."),
        (line(50, mark=6), "labels.jsonl:21: mark: '6' is no mark."),
        (line(50, messages=[{"role": "user", "content": "x"}]), "labels.jsonl:21: messages: are no prompt with its answer."),
        (line(50, messages=[]), "labels.jsonl:21: messages: holds no message."),
        (line(50, reference="12"), "labels.jsonl:21: reference: earlier lines have none. Give every label a reference, or none."),
        (line(50, reference=" "), "labels.jsonl:21: reference: must be a text."),
        (line(3), "labels.jsonl:21: messages: marks the same answer as line 4. Keep one of them."),
    ],
)
def test_each_fault_is_named_by_line_and_field(path: Path, fault: Any, expected: str) -> None:
    assert expected in refusal(write(path, fault))


def test_every_fault_is_told_at_once(path: Path) -> None:
    told = refusal(write(path, line(50, mark="fine"), line(51, mark="ok")))
    assert "labels.jsonl:21: mark" in told and "labels.jsonl:22: mark" in told


@pytest.mark.parametrize(("count", "expected"), [(0, "holds 0 marked answers"), (19, "holds 19 marked answers. Mark 20 to 2000 answers")])
def test_too_few_say_nothing(path: Path, count: int, expected: str) -> None:
    assert expected in refusal(write(path, good=count))


def test_one_mark_alone_says_nothing(path: Path) -> None:
    assert "marks every answer the same" in refusal(write(path, *(line(number, mark="good") for number in range(20)), good=0))


@pytest.mark.parametrize(
    ("content", "expected"), [(b" \n", "is empty"), (b"\xff", "is not UTF-8"), (b"x" * 70_000, "is larger than 64 KiB")]
)
def test_a_rubric_that_says_nothing_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "rubric.md").write_bytes(content)
    with pytest.raises(InputError, match=expected):
        labels.rubric(tmp_path / "rubric.md")
