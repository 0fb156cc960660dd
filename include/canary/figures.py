"""The state of a canary trial: all figures seen so far and the tests on them, without a word about what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from include.canary import spending
from include.canary.answers_test import AnswersTest
from include.canary.chat_tests import ChatTests
from include.canary.error_harm import ErrorHarm
from include.canary.histogram import clip_bounds, moments, slower_than
from include.canary.latency_harm import LatencyHarm
from include.canary.limits import P99_SHARE, LimitTest
from include.canary.observations import Arm, Look
from include.canary.plan import TrialPlan
from include.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

F = TypeVar("F", bound="Figures")


@dataclass(frozen=True)
class Figures:
    """``stable`` and ``canary`` are everything seen so far; ``series`` holds one point a look, for plotting; ``alarms`` the tests that have
    crossed their boundary, each with its sentence. Alarms stay: evidence that was enough once is not taken back.
    """

    plan: TrialPlan
    errors: ErrorHarm
    latency: LatencyHarm
    error_limit: LimitTest
    p99_limit: LimitTest
    refused: ErrorHarm
    chat: ChatTests | None = None
    answers: AnswersTest | None = None
    at_s: float = 0.0
    stable: Arm = field(default_factory=Arm)
    canary: Arm = field(default_factory=Arm)
    alarms: Mapping[str, str] = field(default_factory=dict)
    series: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def start(cls, plan: TrialPlan) -> Self:
        """Make a trial that has seen nothing yet."""
        return cls(
            plan=plan,
            errors=ErrorHarm.start(len(plan.steps)),
            latency=LatencyHarm.start(),
            error_limit=LimitTest.start(plan.max_error_rate),
            p99_limit=LimitTest.start(P99_SHARE if plan.max_p99_ms is not None else 1.0),
            refused=ErrorHarm.start(len(plan.steps)),
            chat=ChatTests.start(plan.chat, len(plan.steps)) if plan.chat else None,
            answers=AnswersTest.start(plan.answers, plan.alpha) if plan.answers and plan.answers.judged else None,
        )

    @property
    def ended(self) -> bool:
        """The plan's last step is over."""
        return self.at_s >= self.plan.duration_s - 1e-6

    def scored(self, look: Look) -> Self:
        """Return the state after one more look; its point and its alarms are the judge's to add.

        Raises InputError for a look that cannot be: out of order, of an unknown step, with more failures than requests.
        """
        _check(self, look)
        stable, canary = self.stable + look.stable, self.canary + look.canary
        return replace(_score(self, look, stable, canary), at_s=look.at_s, stable=stable, canary=canary)

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON types; a trial restored by :meth:`from_json` goes on exactly as this one would."""
        parts = {name: getattr(self, name).to_json() for name in _PARTS}
        parts |= {"chat": self.chat.to_json()} if self.chat else {}
        parts |= {"answers": self.answers.to_json()} if self.answers else {}
        return parts | {
            "plan": self.plan.to_json(),
            "at_s": self.at_s,
            "alarms": dict(self.alarms),
            "series": [dict(point) for point in self.series],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        parts: dict[str, Any] = {name: kind.from_json(data[name]) for name, kind in _PARTS.items() if name in data}
        if "refused" not in parts:  # of a trial that began before refusals were counted
            parts["refused"] = ErrorHarm.start(len(data["plan"]["steps"]))
        parts["chat"] = ChatTests.from_json(data["chat"]) if "chat" in data else None
        parts["answers"] = AnswersTest.from_json(data["answers"]) if "answers" in data else None
        plan = TrialPlan.from_json(data["plan"])
        return cls(plan=plan, at_s=data["at_s"], alarms=dict(data["alarms"]), series=tuple(data["series"]), **parts)


_PARTS: dict[str, Any] = {
    "errors": ErrorHarm,
    "latency": LatencyHarm,
    "error_limit": LimitTest,
    "p99_limit": LimitTest,
    "refused": ErrorHarm,
    "stable": Arm,
    "canary": Arm,
}


def _check(trial: Figures, look: Look) -> None:
    where = f"look at {look.at_s:g} s"
    if look.at_s <= trial.at_s and trial.series:
        raise InputError(f"it is not later than the look at {trial.at_s:g} s.", where=where, remedy="Give each look once, in order.")
    if not 0 <= look.step < len(trial.plan.steps):
        raise InputError(f"step {look.step} is not in the plan of {len(trial.plan.steps)} steps.", where=where)
    if not 0 <= look.compared.differ <= look.compared.rows:
        raise InputError(f"{look.compared.differ} of {look.compared.rows} rows were answered differently.", where=where)
    for name, arm in (("stable", look.stable), ("canary", look.canary)):
        if not 0 <= arm.errors <= arm.requests:
            raise InputError(f"the {name} arm has {arm.errors} failures in {arm.requests} requests.", where=where)
        if arm.refused < 0:
            raise InputError(f"the {name} arm has {arm.refused} refusals.", where=where)
        if not 0 <= arm.answers.bad <= arm.answers.ended:
            raise InputError(f"the {name} arm has {arm.answers.bad} bad answers of {arm.answers.ended}.", where=where)


def _score(trial: F, look: Look, stable: Arm, canary: Arm) -> F:
    """Take each test one look further."""
    import numpy as np

    plan = trial.plan
    shares = spending.CHAT if plan.chat else spending.TABLE_ANSWERS if trial.answers else spending.TABLE
    elapsed = look.at_s / plan.duration_s

    def one(value: float) -> Any:
        return np.array([float(value)])

    def comparison(share: float) -> Any:
        return one(spending.comparison(plan.alpha * share, elapsed))

    def limit(share: float) -> Any:
        return one(spending.limit(plan.alpha * share, elapsed))

    latencies = (
        moments(look.canary.latencies, clip_bounds(canary.latencies, stable.latencies)),
        moments(look.stable.latencies, clip_bounds(stable.latencies, canary.latencies)),
    )
    canary_n, canary_errors, stable_n, stable_errors = (
        one(n) for n in (look.canary.requests, look.canary.errors, look.stable.requests, look.stable.errors)
    )
    canary_all, canary_refused, stable_all, stable_refused = (
        one(n) for arm in (look.canary, look.stable) for n in (arm.requests + arm.refused, arm.refused)
    )
    p99_limit = trial.p99_limit
    if plan.max_p99_ms is not None:
        slow = slower_than(look.canary.latencies, plan.max_p99_ms)
        p99_limit = p99_limit.observe(one(look.canary.latencies.n), one(slow), limit(shares.p99_limit))
    return replace(
        trial,
        errors=trial.errors.observe(look.step, canary_n, canary_errors, stable_n, stable_errors, comparison(shares.errors)),
        latency=trial.latency.observe(*latencies, comparison(shares.latency)),
        error_limit=trial.error_limit.observe(canary_n, canary_errors, limit(shares.error_limit)),
        p99_limit=p99_limit,
        refused=trial.refused.observe(look.step, canary_all, canary_refused, stable_all, stable_refused, comparison(shares.refused)),
        chat=trial.chat.observe(plan.chat, look, stable.answers, canary.answers, plan.alpha, elapsed) if trial.chat and plan.chat else None,
        answers=trial.answers.observe(look.compared, plan.alpha, elapsed) if trial.answers else None,
    )
