"""The list of who did what to which model, key, quota, budget or alert: its lines, filtered and written out. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

KINDS = ("model", "key", "quota", "budget", "prices", "alert", "node", "lease")
"""What an act may be done to."""
KIND, NAME = "kind", "name"
"""What an act in the chain is about, in its body, where that is no model."""


@dataclass(frozen=True)
class AuditLine:
    """One act. ``who`` did ``act`` to the ``kind`` of this ``name`` at ``at`` (ISO 8601, UTC), because of ``why``. ``entry``: its number in
    the chain of hashes; None for what is kept outside of it. ``detail``: what was changed, as JSON."""

    at: str
    who: str
    act: str
    kind: str
    name: str
    why: str
    entry: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which lines are asked for: of one kind, one name, one user; from ``since`` on and before ``until`` (ISO 8601); "" for all.

    ``text`` is looked for in all that a line says.
    """

    kind: str = ""
    name: str = ""
    who: str = ""
    since: str = ""
    until: str = ""
    text: str = ""

    def has(self, line: AuditLine) -> bool:
        """Tell whether the line is asked for."""
        said = " ".join((line.who, line.act, line.kind, line.name, line.why, line.detail)).lower()
        return (
            self.kind in ("", line.kind)
            and self.name in ("", line.name)
            and self.who in ("", line.who)
            and self.since <= line.at
            and (not self.until or line.at < self.until)
            and self.text.lower() in said
        )


def chosen(lines: Iterable[AuditLine], wanted: Wanted, limit: int) -> list[AuditLine]:
    """Return the lines that are asked for, the newest first, ``limit`` at most."""
    found = sorted((line for line in lines if wanted.has(line)), key=lambda line: (line.at, line.entry or 0), reverse=True)
    return found[:limit]


def as_csv(lines: Iterable[AuditLine]) -> str:
    """Write lines as CSV (RFC 4180), under the names of their fields. No text becomes a spreadsheet's formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([field.name for field in fields(AuditLine)])
    writer.writerows([[_plain(value) for value in asdict(line).values()] for line in lines])
    return text.getvalue()


def as_json_lines(lines: Iterable[AuditLine]) -> str:
    """Write lines as JSON, one a line."""
    return "".join(json.dumps(asdict(line)) + "\n" for line in lines)


def detail_of(body: dict[str, Any]) -> str:
    """Write what was changed, without what the line says already; "" for nothing."""
    more = {name: value for name, value in body.items() if name not in (KIND, NAME)}
    return json.dumps(more, sort_keys=True) if more else ""


def _plain(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
