"""A trial again from the looks that were kept of it: for the curves of a run that never came to a verdict, and for the live page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from include.canary.observations import Look
from include.canary.plan import TrialPlan

if TYPE_CHECKING:
    from include.canary.trial import Trial
    from include.spec.schema import Canary


@dataclass(frozen=True)
class Replay:
    """``mirror`` judges the mirrored phase when there is one, ``trial`` the steps; ``seen`` looks went in, ``passed_s`` seconds."""

    plan: TrialPlan
    mirror_s: float
    mirror: Trial | None
    trial: Trial
    seen: int = 0
    passed_s: float = 0.0

    @classmethod
    def start(cls, canary: Canary) -> Replay:
        """The trial of this spec before its first look; a mirrored phase is a trial of its own that shares the error level."""
        from include.canary.trial import Trial

        plan, mirror = TrialPlan.from_spec(canary), None
        if canary.mirror_s:
            mirror = Trial.start(replace(plan, steps=(50,), step_s=canary.mirror_s, alpha=plan.alpha / 2))
            plan = replace(plan, alpha=plan.alpha / 2)
        return cls(plan, canary.mirror_s, mirror, Trial.start(plan))

    def take(self, bodies: Iterable[Mapping[str, Any]]) -> Replay:
        """With the looks' stored bodies (``{"look": ..., "passed_s": ...}``) that follow those already seen, in order."""
        replay = self
        for body in bodies:
            look, passed_s = Look.from_json(body["look"]), float(body["passed_s"])
            if replay.mirroring and replay.mirror is not None:
                replay = replace(replay, mirror=replay.mirror.observe(look))
            else:
                replay = replace(replay, trial=replay.trial.observe(look))
            replay = replace(replay, seen=replay.seen + 1, passed_s=passed_s)
        return replay

    @property
    def mirroring(self) -> bool:
        """Whether the next look belongs to the mirrored phase."""
        return self.passed_s < self.mirror_s

    @property
    def current(self) -> Trial:
        """The trial that the latest look went to."""
        return self.trial if self.trial.series or self.mirror is None else self.mirror
