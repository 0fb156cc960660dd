"""Answers that people have marked: what a judge is measured by before its own marks may count. And its rubric.

A line is `{"messages": [..., {"role": "assistant", "content": "the answer"}], "mark": "good", "reference": "a right answer"}`: marks are
`good` and `bad`, or whole numbers from 1 to 5; the reference is optional, in every line or in none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.data import chats
from include.errors import InputError
from include.runtime import untrusted
from include.spec.problem import Problem, nearest

Scale = tuple[str, ...]
TWO: Scale = ("bad", "good")
FIVE: Scale = ("1", "2", "3", "4", "5")
FIELDS = ("messages", "mark", "reference")
FEWEST = 20
"""Labels without which no agreement is worth the name."""
MOST = 2000
MOST_BYTES = 8 * 1024 * 1024
MOST_RUBRIC_BYTES = 64 * 1024
_FORM = 'Write {"messages": [..., {"role": "assistant", "content": "..."}], "mark": "good"}, one marked answer a line.'


@dataclass(frozen=True)
class Label:
    """A person's mark, by its place on the scale, of an answer to a prompt; ``reference`` is a right answer."""

    prompt: list[dict[str, str]]
    answer: str
    mark: int
    reference: str | None = None


@dataclass(frozen=True)
class Labels:
    """``scale``: the marks from the worst to the best. The labels have references all of them, or none has."""

    scale: Scale
    labels: tuple[Label, ...]

    @property
    def with_reference(self) -> bool:
        return self.labels[0].reference is not None


def rubric(path: Path) -> str:
    """The rubric's text. Raises ``InputError``."""
    try:
        text = _bytes(path, MOST_RUBRIC_BYTES).decode().strip()
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 ({error.reason}).", where=str(path), remedy="Save the file as UTF-8.") from None
    if not text:
        raise InputError("is empty.", where=str(path), remedy="Write what makes an answer good or bad.")
    return text


def read(path: Path) -> Labels:
    """The marked answers in ``path``. Raises ``SpecError`` with every fault by its line, ``InputError`` for too few or too many."""
    _bytes(path, MOST_BYTES)
    found: list[Label] = []
    faults: list[Problem] = []
    first: dict[str, Any] | None = None
    seen: dict[str, int] = {}
    for number, value in chats.values(path):
        fault = value if isinstance(value, Problem) else _fault(path, number, value, first, seen)
        if fault is not None:
            faults.append(fault)
            continue
        first = first or value
        seen[_key(value)] = number
        mark = scale_of(value["mark"]).index(str(value["mark"]))
        found.append(Label(value["messages"][:-1], value["messages"][-1]["content"], mark, value.get("reference")))
    chats.insist(faults, "labels")
    if not FEWEST <= len(found) <= MOST:
        remedy = f"Mark {FEWEST} to {MOST} answers, good ones and bad ones; with a hundred or more, the interval is narrow."
        raise InputError(f"holds {len(found)} marked answers.", where=str(path), remedy=remedy)
    if len({label.mark for label in found}) == 1:
        remedy = "Add answers that are worse or better: agreement on one mark alone says nothing."
        raise InputError("marks every answer the same.", where=str(path), remedy=remedy)
    assert first is not None
    return Labels(scale_of(first["mark"]), tuple(found))


def scale_of(mark: Any) -> Scale:
    """The scale that a mark is of; empty for none."""
    if isinstance(mark, str):
        return TWO if mark in TWO else ()
    return FIVE if isinstance(mark, int) and not isinstance(mark, bool) and str(mark) in FIVE else ()


def _fault(path: Path, number: int, value: Any, first: dict[str, Any] | None, seen: dict[str, int]) -> Problem | None:
    """The first thing wrong with a line; ``first`` is the first good one, ``seen`` the lines by what they mark."""
    return next(_faults(path, number, value, first, seen), None)


def _faults(path: Path, number: int, value: Any, first: dict[str, Any] | None, seen: dict[str, int]) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, "is no marked answer.", number, remedy=_FORM)
        return
    for name in value:
        if name not in FIELDS:
            yield Problem(path, "unknown field.", number, field=str(name)[:80], allowed=FIELDS, nearest=nearest(str(name), FIELDS))
    messages: Any = value.get("messages")
    if fault := chats.messages_fault(messages):
        what, field, remedy = fault
        yield Problem(path, what, number, field=field, remedy=remedy)
    elif messages[-1]["role"] != "assistant" or len(messages) < 2:
        yield Problem(path, "are no prompt with its answer.", number, field="messages", remedy="The last one is the answer that is marked.")
    yield from _mark_faults(path, number, value, first)
    if (before := seen.get(_key(value))) is not None:
        yield Problem(path, f"marks the same answer as line {before}.", number, field="messages", remedy="Keep one of them.")


def _mark_faults(path: Path, number: int, value: dict[str, Any], first: dict[str, Any] | None) -> Iterator[Problem]:
    mark = value.get("mark")
    if not scale_of(mark):
        yield Problem(path, f"{str(mark)[:40]!r} is no mark.", number, field="mark", remedy="Write good or bad, or a number from 1 to 5.")
    elif first is not None and scale_of(mark) != scale_of(first["mark"]):
        what = f"{mark!r} is of another scale than the {first['mark']!r} of the lines before."
        yield Problem(path, what, number, field="mark", remedy="Mark all answers good or bad, or all from 1 to 5.")
    reference = value.get("reference")
    if "reference" in value and (not isinstance(reference, str) or not reference.strip()):
        yield Problem(path, "must be a text.", number, field="reference", remedy="Write a right answer, or leave the field out.")
    elif first is not None and ("reference" in value) != ("reference" in first):
        what = "is missing, and earlier lines have one." if "reference" in first else "earlier lines have none."
        yield Problem(path, what, number, field="reference", remedy="Give every label a reference, or none.")


def _key(value: dict[str, Any]) -> str:
    return json.dumps(value.get("messages"), sort_keys=True)


def _bytes(path: Path, most: int) -> bytes:
    try:
        with untrusted.plain(path) as handle:
            content = handle.read(most + 1)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or error}.", where=str(path), remedy="Correct the path.") from None
    if len(content) > most:
        raise InputError(f"is larger than {most // 1024} KiB.", where=str(path), remedy="Shorten it.")
    return content
