"""Why a run of a lifecycle began, in a sentence. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EXTRA = "updraft"
"""Key of an asset event's ``extra`` under which the events stand that it tells of."""
FROM_REST = "from_rest_api"
"""Under this Airflow marks what somebody told by its own API: words that stand there are theirs, and no sender's."""
SHOWN = 5
WHY = "Why: "
"""Begins the line of a run's note that holds its reason."""


@dataclass(frozen=True)
class Began:
    """What Airflow knows of a run's beginning.

    ``kind``: manual, scheduled, asset_triggered, ...; ``user``: who triggered it; ``cause``: of a run that an alert or a verdict began,
    its name and summary; ``why``: the reason that its user gave; ``updates``: of assets, those that it was begun for, oldest first.
    """

    kind: str
    user: str = ""
    cause: str = ""
    why: str = ""
    updates: Sequence[Update] = field(default=())


@dataclass(frozen=True)
class Update:
    """An update of an asset: by a task (``source``), or told by somebody (``extra``)."""

    asset: str
    source: str
    extra: Mapping[str, Any]


def sentence(began: Began) -> str:
    """Say why the run began."""
    if began.cause:
        return f"Begun because of {began.cause}".strip()
    if began.updates:
        news = list(dict.fromkeys(text for update in reversed(began.updates) for text in _news(update)))
        more = f"; and {len(news) - SHOWN} more" if len(news) > SHOWN else ""
        return f"Begun because of new data: {'; '.join(news[:SHOWN])}{more}."
    if began.kind == "scheduled":
        return "Begun by its schedule."
    if began.kind == "backfill":
        return "Begun by a backfill" + (f" of {began.user}." if began.user else ".")
    if began.kind == "asset_triggered":
        return "Begun because of new data."
    why = f": {began.why}" if began.why else "."
    return f"Begun by {began.user or 'hand'}{why}"


def reason(note: str) -> str:
    """Return the reason that a person gave for a run in its note, which the report goes on to carry; empty when there is none."""
    found = re.search(rf"(?m)^{WHY}(.+)$", note)
    return found[1].strip()[:1000] if found else ""


def _news(update: Update) -> list[str]:
    ours = not update.source and not update.extra.get(FROM_REST)
    told = update.extra.get(EXTRA) if ours else None
    if isinstance(told, list):
        return [_event(one) for one in reversed(told) if isinstance(one, Mapping)]
    said = str(update.extra.get("why") or "")[:200]
    by = f"by {update.source}" if update.source else "by hand"
    return [f"{update.asset} was updated {by}" + (f": {said}" if said else "")]


def _event(one: Mapping[str, Any]) -> str:
    summary = str(one.get("summary") or "")[:200]
    return f"{one['sender']} says: {summary or 'news'}" if one.get("sender") else summary
