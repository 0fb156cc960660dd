"""An alerting rule, and groups of them as Prometheus reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How soon a person should know: ``INFO`` by the next day, ``WARNING`` within the hour, ``CRITICAL`` at once."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Recorded:
    """A figure that several rules and dashboards need, under a name of its own."""

    name: str
    expression: str

    def to_json(self) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        return {"record": self.name, "expr": self.expression}


@dataclass(frozen=True)
class Alert:
    """A rule that alerts while ``expression`` gives a series, and has done so for ``held``.

    ``summary`` and ``remedy`` are sentences, which may hold Prometheus' templates; ``healthy`` is the range in which nobody need look.
    """

    name: str
    expression: str
    held: str
    severity: Severity
    summary: str
    remedy: str
    healthy: str = ""
    keep_firing: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        told = {"summary": self.summary, "remedy": self.remedy, "healthy": self.healthy}
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.held,
            **({"keep_firing_for": self.keep_firing} if self.keep_firing else {}),
            "labels": {"severity": self.severity.value},
            "annotations": {name: text for name, text in told.items() if text},
        }


Rules = Iterable[Recorded | Alert]


def groups(parts: dict[str, Rules]) -> dict[str, Any]:
    """Return the groups, by name, as a rule file of Prometheus' has them."""
    return {"groups": [{"name": f"updraft-{name}", "rules": [rule.to_json() for rule in rules]} for name, rules in parts.items()]}
