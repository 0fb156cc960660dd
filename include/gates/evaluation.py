"""What the evaluate step found out: figures, intervals, slices, the comparison with the champion. Plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from include.numerals import significant


@dataclass(frozen=True)
class Score:
    """A metric's value and its confidence interval; all None where the rows do not define it. ``method`` names the interval's method."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Score:
        return cls(**data)


@dataclass(frozen=True)
class Comparison:
    """Challenger against champion on the same rows, by ``metric``.

    ``difference`` is challenger minus champion (positive: better), ``low`` and ``high`` its interval. ``p_worse`` is the one-sided
    p-value of "the challenger is worse by no more than ``margin``": small means that it is worse. None where the rows do not define the
    metric.
    """

    metric: str
    rows: int
    difference: float | None
    low: float | None
    high: float | None
    p_worse: float | None
    margin: float
    method: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        return cls(**data)

    @property
    def figure(self) -> str:
        """The difference with its interval, for people: ``+0.0125 [-0.004, +0.029]``."""
        if self.difference is None:
            return "no figure"
        ends = "" if self.low is None or self.high is None else f" [{significant(self.low, sign='+')}, {significant(self.high, sign='+')}]"
        return f"{significant(self.difference, sign='+')}{ends}"


@dataclass(frozen=True)
class Slice:
    """The score among the rows where ``column`` has ``value`` (a label, or an interval of a number)."""

    column: str
    value: str
    rows: int
    score: Score
    champion: Score | None = None
    comparison: Comparison | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Slice:
        return cls(
            data["column"],
            data["value"],
            data["rows"],
            Score.from_json(data["score"]),
            Score.from_json(data["champion"]) if data.get("champion") else None,
            Comparison.from_json(data["comparison"]) if data.get("comparison") else None,
        )


@dataclass(frozen=True)
class Disagreement:
    """``differ`` of ``rows`` held-out rows, unseen by both, are answered differently by the two versions: in numbers by more than
    ``tolerance``, None of labels."""

    rows: int
    differ: int
    tolerance: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Disagreement:
        return cls(**data)


@dataclass(frozen=True)
class Champion:
    """The champion's figures on the same rows; ``not_comparable`` says why there are none."""

    version: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    comparison: Comparison | None = None
    not_comparable: str = ""
    disagreement: Disagreement | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Champion:
        return cls(
            data["version"],
            {name: Score.from_json(score) for name, score in data["scores"].items()},
            Comparison.from_json(data["comparison"]) if data.get("comparison") else None,
            data.get("not_comparable", ""),
            Disagreement.from_json(data["disagreement"]) if data.get("disagreement") else None,
        )


@dataclass(frozen=True)
class Evaluation:
    """``metric`` is the score that the gate judges by; ``champion`` is None for a first version; ``charts`` is for the report."""

    task: str
    metric: str
    rows: int
    train_rows: int
    confidence: float
    scores: Mapping[str, Score]
    slices: tuple[Slice, ...] = ()
    champion: Champion | None = None
    charts: Mapping[str, Any] = field(default_factory=dict)
    metric_note: str = ""
    """Why ``metric`` is another than usual."""
    api_changes: tuple[str, ...] = ()
    """What would break for the champion's callers."""

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse, but that NaN, which JSON has not, becomes None."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)
        if self.champion and self.champion.disagreement is None:  # as it was kept before this was known
            del data["champion"]["disagreement"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        return cls(
            task=data["task"],
            metric=data["metric"],
            rows=data["rows"],
            train_rows=data["train_rows"],
            confidence=data["confidence"],
            scores={name: Score.from_json(score) for name, score in data["scores"].items()},
            slices=tuple(Slice.from_json(part) for part in data.get("slices", ())),
            champion=Champion.from_json(data["champion"]) if data.get("champion") else None,
            charts=data.get("charts", {}),
            metric_note=data.get("metric_note", ""),
            api_changes=tuple(data.get("api_changes", ())),
        )

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_json(), indent=1))

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        return cls.from_json(json.loads(path.read_text()))
