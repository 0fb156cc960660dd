"""A chain of hashes over all that is kept: each entry's hash covers its content and the hash before it. Pure.

Whoever alters, removes, inserts or reorders an entry breaks the chain at that place, or must write all that follows anew; then the hash at
the end, or any that was noted elsewhere (an anchor), is another one. (Haber and Stornetta, How to time-stamp a digital document, 1991.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

BEGIN = "0" * 64
"""Stands before the first entry."""
FORM = "updraft evidence 1"
"""Begins what is hashed; another way of writing entries would be another form."""


@dataclass(frozen=True)
class Entry:
    """One thing that was kept. ``number`` counts from 1 over every ``kind`` (``verdict``, ``look``, ``act``); ``author`` is the user who
    kept it, ``at`` when (UTC, ISO 8601)."""

    number: int
    kind: str
    content: Mapping[str, Any]
    author: str
    at: str
    previous: str
    hash: str


@dataclass(frozen=True)
class Head:
    """The end of a chain, or a place in it: the number of an entry and its hash."""

    number: int = 0
    hash: str = BEGIN

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Inverse of ``str``. Raises ValueError."""
        number, _, digest = text.partition(":")
        if len(digest) != len(BEGIN) or not set(digest) <= set("0123456789abcdef"):
            raise ValueError(f"{text!r} is no number:hash")
        return cls(int(number), digest)


def seal(number: int, kind: str, content: Mapping[str, Any], author: str, at: datetime, previous: str) -> str:
    """The hash of an entry (hexadecimal SHA-256 of its canonical JSON: keys sorted, ASCII, no spaces)."""
    return _digest(number, kind, content, author, moment(at), previous)


def moment(at: datetime) -> str:
    """The time as it is hashed: UTC, to the microsecond, whatever zone a database gives it back in."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds")


def faults(entries: Iterable[Entry], head: Head, anchors: Iterable[Head] = ()) -> Iterator[str]:
    """A sentence for everything that is not as it was kept: ``entries`` in order of their numbers, ``head`` the end as it was noted beside
    them, ``anchors`` places whose hashes were noted elsewhere."""
    wanted = {anchor.number: anchor.hash for anchor in anchors}
    last = Head()
    for entry in entries:
        if entry.number != last.number + 1:
            yield _gap(last.number, entry.number)
        elif entry.previous != last.hash:
            yield f"entry {entry.number} ({entry.kind}) does not follow entry {last.number}: it was moved, or entry {last.number} replaced."
        if _digest(entry.number, entry.kind, entry.content, entry.author, entry.at, entry.previous) != entry.hash:
            yield f"entry {entry.number} ({entry.kind}) is not as it was kept: its content does not have its hash."
        if wanted.pop(entry.number, entry.hash) != entry.hash:
            yield f"entry {entry.number} ({entry.kind}) has another hash than was noted: the chain was written anew."
        last = Head(entry.number, entry.hash)
    if last != head:
        yield f"the chain ends with entry {last.number}, and {head.number} were kept: its end was removed or written anew."
    yield from (f"entry {number}, whose hash was noted, is not there." for number in sorted(wanted))


def _gap(last: int, found: int) -> str:
    if found <= last:
        return f"entry {found} stands twice."
    missing = f"entry {last + 1} is" if found == last + 2 else f"entries {last + 1} to {found - 1} are"
    return f"{missing} missing."


def _digest(number: int, kind: str, content: Mapping[str, Any], author: str, at: str, previous: str) -> str:
    parts = [FORM, number, kind, content, author, at, previous]
    return sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
