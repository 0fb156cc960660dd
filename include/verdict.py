"""A decision with its reasons and its evidence. Gates, canaries and placements all return one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Decision(StrEnum):
    """What a verdict may say. ``CONTINUE``, ``INCONCLUSIVE`` and ``ENDED BY HAND`` are a canary's alone; ``NOTICE`` (change), ``ALARM``
    (harm) and ``NOT KNOWN`` (missing data: never fine, and never an alarm) those of a look at production."""

    PASS = "PASS"
    FAIL = "FAIL"
    PROMOTE = "PROMOTE"
    ROLLBACK = "ROLLBACK"
    CONTINUE = "CONTINUE"
    INCONCLUSIVE = "INCONCLUSIVE"
    ENDED_BY_HAND = "ENDED BY HAND"
    NOTICE = "NOTICE"
    ALARM = "ALARM"
    NOT_KNOWN = "NOT KNOWN"


@dataclass(frozen=True)
class Rule:
    """One rule of a verdict: its figure beside its bar, both ready to print. ``passed`` is None when it could not be decided."""

    name: str
    passed: bool | None
    figure: str
    bar: str
    detail: str = ""


@dataclass(frozen=True)
class Verdict:
    """``reasons`` are sentences for people; ``evidence`` is JSON-able and enough to reach the decision again."""

    decision: Decision
    reasons: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        return asdict(self) | {"decision": self.decision.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        return cls(
            decision=Decision(data["decision"]),
            reasons=tuple(data["reasons"]),
            rules=tuple(Rule(**rule) for rule in data.get("rules", ())),
            evidence=data.get("evidence", {}),
        )
