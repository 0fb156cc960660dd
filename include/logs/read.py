"""Reads a platform's logs as records, in the order of their times, whichever program wrote them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from include.logs.files import GATEWAY, LogFile
from include.logs.record import REQUEST, Record, parse

LONGEST = 16_000
"""A longer line is cut (characters)."""


@dataclass(frozen=True)
class Wanted:
    """``since``: seconds since the epoch; ``model``, ``request``: "" for all."""

    since: float = 0.0
    model: str = ""
    request: str = ""


def records(logs: Iterable[LogFile], wanted: Wanted) -> Iterator[Record]:
    """Yield what is wanted, the oldest first. Of the platform's own programs a model's log has what names it."""
    parts = [_of(log, wanted) for log in logs if not (wanted.model and log.model and log.model != wanted.model)]
    yield from heapq.merge(*parts, key=lambda record: record.time)


def _of(log: LogFile, wanted: Wanted) -> Iterator[Record]:
    for path in log.paths:
        try:
            changed = path.stat().st_mtime
            if changed >= wanted.since:
                yield from (record for record in _lines(log, path, changed) if _is_wanted(record, log, wanted))
        except FileNotFoundError:
            continue  # rotated away meanwhile


def _lines(log: LogFile, path: Path, changed: float) -> Iterator[Record]:
    """A file's records. Lines without a time have that of the line before; the first ones that of the first that has one."""
    year, before = datetime.fromtimestamp(changed, UTC).year, None
    waiting: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            record = parse(log.source, line[:LONGEST].replace("\0", "\ufffd"), before if before is not None else changed, year, log.facts)
            if before is None and not record.exact:
                waiting.append(line)
                continue
            before = max(record.time, before or 0.0)  # threads write nearly in order; a merge needs it exact
            for early in waiting:
                yield parse(log.source, early[:LONGEST], before, year, log.facts)
            waiting.clear()
            yield Record(before, record.source, record.level, record.message, record.exact, record.facts)
    for early in waiting:
        yield parse(log.source, early[:LONGEST], changed, year, log.facts)


def _is_wanted(record: Record, log: LogFile, wanted: Wanted) -> bool:
    if record.time < wanted.since:
        return False
    if wanted.request and record.facts.get(REQUEST) != wanted.request and wanted.request not in record.message:
        return False
    if not wanted.model or log.model == wanted.model:
        return True
    if log.source == GATEWAY:
        return record.facts.get("model") == wanted.model
    return wanted.model in record.message.replace("/", " ").replace("-", " ").replace(":", " ").split()
