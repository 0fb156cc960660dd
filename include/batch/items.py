"""The prompts of a batch: JSON Lines, each fault named by file, line and field, laid out for the shards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from include.data import chats
from include.errors import InputError
from include.spec.problem import Problem, nearest

FIELDS = ("messages", "prompt", "id", "task", "split")
"""Those of a chat, of a snapshot's row, or a bare prompt."""
MAX_ID = 200
_FORM = 'Write {"messages": [{"role": "user", "content": "..."}]} or {"prompt": "..."}, one a line, each with an "id" if you like.'


@dataclass(frozen=True)
class Item:
    """One prompt; ``line`` is its place in the input, ``reference`` the answer that the input gave with it."""

    line: int
    id: str
    messages: list[dict[str, str]]
    reference: str | None = None


def lay_out(source: Path, target: Path) -> int:
    """Check every line of ``source`` and write its prompts to ``target``, one a line; how many there are.

    ``target`` appears whole. Raises ``SpecError`` with every fault, ``InputError`` for a file without prompts or one that can't be read.
    """
    found: list[Problem] = []
    count = 0
    part = target.with_name(f".{target.name}.part")
    with part.open("w", encoding="utf-8") as lines:
        for number, value in chats.values(source):
            fault = value if isinstance(value, Problem) else _fault(source, number, value)
            if fault:
                found.append(fault)
            elif not found:
                lines.write(json.dumps(asdict(_item(number, value)), ensure_ascii=False) + "\n")
                count += 1
        lines.flush()
        os.fsync(lines.fileno())
    try:
        chats.insist(found, "lines")
        if not count:
            raise InputError("holds no prompt.", where=str(source), remedy=_FORM)
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return count


def read(path: Path, start: int, stop: int) -> Iterator[tuple[int, Item]]:
    """Number (from 0) and item of the lines ``start`` to ``stop`` (that one not) of what :func:`lay_out` has written."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(islice(lines, start, stop), start):
            yield number, Item(**json.loads(line))


def _item(number: int, value: dict[str, Any]) -> Item:
    messages = value.get("messages") or [{"role": "user", "content": value["prompt"]}]
    told = messages[-1]["role"] == "assistant"
    return Item(number, str(value.get("id", number)), messages[:-1] if told else messages, messages[-1]["content"] if told else None)


def _fault(path: Path, number: int, value: Any) -> Problem | None:
    """The first thing wrong with a line."""
    if not isinstance(value, dict):
        return Problem(path, "is no mapping.", number, remedy=_FORM)
    for name in value:
        if name not in FIELDS:
            return Problem(path, "unknown field.", number, field=str(name)[:80], allowed=FIELDS, nearest=nearest(str(name), FIELDS))
    if ("messages" in value) == ("prompt" in value):
        what = "has both `messages` and `prompt`." if "prompt" in value else "has neither `messages` nor `prompt`."
        return Problem(path, what, number, remedy=_FORM)
    identity = value.get("id", "")
    if not isinstance(identity, str | int) or isinstance(identity, bool) or len(str(identity)) > MAX_ID:
        return Problem(path, f"must be a text of at most {MAX_ID} characters, or a whole number.", number, field="id")
    if any("\ud800" <= letter <= "\udfff" for letter in str(identity)):
        return Problem(path, "holds half a Unicode character.", number, field="id", remedy="Write whole ones.")
    if "prompt" in value and (not isinstance(value["prompt"], str) or not value["prompt"].strip()):
        return Problem(path, "must be a text that is not empty.", number, field="prompt", remedy=_FORM)
    messages: Any = value["messages"] if "messages" in value else [{"role": "user", "content": value["prompt"]}]
    if fault := chats.messages_fault(messages):
        what, field, remedy = fault
        return Problem(path, what, number, field=field if "messages" in value else "prompt", remedy=remedy)
    if not any(message["role"] == "user" for message in messages):
        return Problem(path, "asks nothing: there is no message of the user.", number, field="messages", remedy=_FORM)
    return None
