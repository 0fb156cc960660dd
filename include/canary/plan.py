"""What a trial is to decide by, fixed before its first request."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from include.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.spec.llm import LlmCanary
    from include.spec.schema import Canary


@dataclass(frozen=True)
class ChatPlan:
    """What a language model's trial is decided by besides; the fields are those of the spec (:class:`include.spec.llm.LlmCanary`).

    Margins and tolerances as in :class:`TrialPlan`; a limit or margin of None is not judged by.
    """

    tpot_margin: float = 0.10
    tpot_tolerance: float = 0.25
    finish_margin: float | None = 0.02
    finish_tolerance: float = 0.05
    length_margin: float | None = 1.0
    max_ttft_ms: float | None = 1000.0
    max_tpot_ms: float | None = 100.0
    quality_margin: float | None = 0.05
    refusal_margin: float | None = None
    agreement_margin: float | None = None

    def __post_init__(self) -> None:
        if self.tpot_tolerance <= self.tpot_margin or (self.finish_margin is not None and self.finish_tolerance <= self.finish_margin):
            raise InputError(
                "a tolerance is not above its margin, so that one trial could be both rolled back and promoted.",
                where="canary.tpot_tolerance, canary.finish_tolerance",
                remedy="Make each tolerance larger than the margin of the same name.",
            )

    @classmethod
    def from_spec(cls, canary: LlmCanary) -> ChatPlan:
        return cls(**{field.name: getattr(canary, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class AnswersPlan:
    """What the answers of a table's model are held against: ``differ`` of ``rows`` held-out rows were answered differently by the two
    versions, in numbers by more than ``tolerance``.

    ``requests`` live ones at most are asked of both arms, drawn from ``share`` of them; ``margin`` is the share of rows that may differ
    besides. ``unknown`` says why there is nothing to hold them against (no rows); empty when there is.
    """

    requests: int = 1500
    share: float = 0.5
    margin: float = 0.01
    rows: int = 0
    differ: int = 0
    tolerance: float | None = None
    unknown: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.differ <= self.rows:
            raise InputError(f"{self.differ} of {self.rows} held-out rows differ.", where="the trial's plan: answers")

    @property
    def judged(self) -> bool:
        """Whether there is a test on the answers."""
        return bool(self.requests and self.rows)


@dataclass(frozen=True)
class TrialPlan:
    """Steps, looks, error level, margins and limits of one canary trial.

    ``steps`` are percents of traffic, each held ``step_s`` seconds; the judge looks every ``look_s`` seconds. ``alpha`` is the chance that
    a canary no worse than stable (beyond the margins) and within the limits is rolled back, over the whole trial. Margins are harm
    tolerated before a rollback, tolerances the harm that must be excluded before a promotion; errors are differences of shares
    (0.01: one percentage point), latency is relative (0.10: a tenth slower). Raises InputError when the parts contradict one another.
    """

    steps: tuple[int, ...] = (10, 25, 50)
    step_s: float = 600.0
    look_s: float = 10.0
    alpha: float = 0.05
    error_margin: float = 0.0
    latency_margin: float = 0.10
    error_tolerance: float = 0.01
    latency_tolerance: float = 0.25
    min_requests: int = 100
    max_error_rate: float = 0.01
    max_p99_ms: float | None = None
    on_inconclusive: str = "rollback"
    chat: ChatPlan | None = None
    """For a language model."""
    answers: AnswersPlan | None = None
    """For a table's model."""

    def __post_init__(self) -> None:
        if not self.steps or any(not 1 <= step <= 99 for step in self.steps):
            raise InputError(f"steps are {list(self.steps)}.", where="canary.steps", remedy="Give at least one percent between 1 and 99.")
        if any(later <= earlier for earlier, later in zip(self.steps, self.steps[1:], strict=False)):
            raise InputError(f"steps {list(self.steps)} do not rise.", where="canary.steps", remedy="Order them by traffic.")
        if self.step_s <= 0 or self.look_s <= 0:
            raise InputError("a step and a look must last longer than 0 seconds.", where="canary.step_s, canary.look_s")
        if self.look_s > self.step_s:
            raise InputError(
                f"a look every {self.look_s:g} s never falls into a step of {self.step_s:g} s.",
                where="canary.look_s",
                remedy="Make look_s at most step_s.",
            )
        if not 0 < self.alpha <= 0.5:
            raise InputError(f"alpha is {self.alpha}.", where="canary.alpha", remedy="Use a probability above 0 and at most 0.5.")
        if self.error_tolerance <= self.error_margin or self.latency_tolerance <= self.latency_margin:
            raise InputError(
                "a tolerance is not above its margin, so that one trial could be both rolled back and promoted.",
                where="canary.error_tolerance, canary.latency_tolerance",
                remedy="Make each tolerance larger than the margin of the same name.",
            )

    @classmethod
    def from_spec(cls, canary: Canary, chat: ChatPlan | None = None) -> TrialPlan:
        """The plan that a spec's ``canary`` part describes."""
        said = {field.name: getattr(canary, field.name) for field in fields(cls) if field.name not in _PARTS}
        return cls(**said | {"chat": chat, "on_inconclusive": canary.on_inconclusive.value})

    @property
    def duration_s(self) -> float:
        """The trial's longest duration, known beforehand: what the spending of alpha is measured against."""
        return len(self.steps) * self.step_s

    def to_json(self) -> dict[str, Any]:
        said = {name: value for name, value in vars(self).items() if name not in _PARTS}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
        return plain | {name: dict(vars(part)) for name in _PARTS if (part := getattr(self, name))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialPlan:
        chat = ChatPlan(**data["chat"]) if data.get("chat") else None
        answers = AnswersPlan(**data["answers"]) if data.get("answers") else None
        return cls(**{**data, "steps": tuple(data["steps"]), "chat": chat, "answers": answers})


_PARTS = ("chat", "answers")
"""What only some kinds of models have."""
