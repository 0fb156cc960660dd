"""One line of any program's log, as a record of one form. Pure.

Programs write what is theirs: Envoy's access log, Airflow's task logs and what Updraft's own servers say of a request are JSON; the others
write text, each with a time of its own form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

REQUEST = "request_id"
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_DATED = re.compile(r"\[?(\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?\]?[\s:-]*")
_GLOG = re.compile(r"([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d)\.(\d{1,6}) +")
_LEVEL = re.compile(r"\b(critical|fatal|error|err|warning|warn|info|debug|trace)\b|\[([EWIF]):", re.IGNORECASE)
_NAMES = {"fatal": "critical", "err": "error", "warn": "warning", "e": "error", "w": "warning", "i": "info", "f": "critical"}
_SOON = 60
"""Characters of a line among which its level stands."""


@dataclass(frozen=True)
class Record:
    """``time``: seconds since the epoch; not ``exact`` where the line has none of its own and took that of the line before. ``facts``: all
    else that it says of itself, ``request_id`` among it."""

    time: float
    source: str
    level: str
    message: str
    exact: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what `JSON=1` prints."""
        at = datetime.fromtimestamp(self.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"time": at, "source": self.source, "level": self.level, "message": self.message, **self.facts}


def parse(source: str, line: str, before: float, year: int, facts: Mapping[str, Any] | None = None) -> Record:
    """Return the record of a line. ``before``: the time of the line before, or of the file; ``year``: of lines that don't say theirs;
    ``facts``: what is known of all lines of the file."""
    known = dict(facts or {})
    if line.startswith("{") and (found := _object(line)) is not None:
        return _structured(source, found, before, known)
    text = _COLOUR.sub("", line).rstrip()
    if glog := _GLOG.match(text):
        letter, month, day, clock, fraction = glog.groups()
        time = _time(f"{year}-{month}-{day}T{clock}", fraction, "Z")
        if time is not None:
            return Record(time, source, _NAMES[letter.lower()], text[glog.end() :], facts=known)
    dated = _DATED.match(text)
    time = _time(dated[1].replace("/", "-").replace(" ", "T"), dated[2] or "0", dated[3] or "") if dated else None
    message = text[dated.end() :] if dated and time is not None else text
    return Record(before if time is None else time, source, _level(message), message, time is not None, known)


def _structured(source: str, found: dict[str, Any], before: float, known: dict[str, Any]) -> Record:
    """Envoy's ``time`` is a number in a text; Airflow's ``timestamp`` is ISO, its sentence ``event``."""
    told = found.pop("time", None) or found.pop("timestamp", None)
    time = _number(told)
    if time is None and (dated := _DATED.match(str(told))):
        time = _time(dated[1].replace(" ", "T"), dated[2] or "0", dated[3] or "Z")
    message = found.pop("message", None) or found.pop("event", None)
    level = str(found.pop("level", "") or "").lower()
    if message is None and "status" in found:
        message = f"{found.get('method')} {found.get('path')} {found['status']}"
        level = "error" if _number(found["status"]) is None or int(found["status"] or 0) >= 500 or not found["status"] else "info"
    facts = known | {name: value for name, value in found.items() if value is not None}
    return Record(before if time is None else time, source, _NAMES.get(level, level) or "info", str(message or ""), time is not None, facts)


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _number(told: Any) -> float | None:
    try:
        return float(told)
    except (TypeError, ValueError):
        return None


def _time(moment: str, fraction: str, zone: str) -> float | None:
    """Seconds since the epoch; a time without a zone is this machine's."""
    try:
        at = datetime.fromisoformat(f"{moment}.{fraction[:6]:0<6}{'+00:00' if zone == 'Z' else zone}")
    except ValueError:
        return None
    return at.timestamp()


def _level(text: str) -> str:
    found = _LEVEL.search(text[:_SOON])
    if found is None:
        return "info"
    word = (found[1] or found[2]).lower()
    return _NAMES.get(word, word)
