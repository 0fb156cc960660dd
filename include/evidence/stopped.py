"""The verdict of a run that stopped at what no retry can mend: which of its tasks, why, and what helps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.errors import UpdraftError
from include.verdict import Decision, Verdict

MOST = 20_000
"""Characters of each part that are kept."""


def stopped(task: str, error: UpdraftError) -> Verdict:
    """FAIL, in the error's own words."""
    parts = {name: getattr(error, name)[:MOST] for name in ("what", "where", "remedy")}
    return recompute({"task": task} | parts)


def recompute(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict again from its stored evidence."""
    error = UpdraftError(evidence["what"], where=evidence["where"], remedy=evidence["remedy"])
    return Verdict(Decision.FAIL, (str(error)[:MOST],), (), dict(evidence))
