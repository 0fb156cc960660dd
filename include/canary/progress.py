"""How far a canary trial has come: its mirrored phase, its steps, the traffic each wants, and what the judge says of all looks so far.

The one place that knows this: the trigger runs a trial by it, the report and the live page judge the kept looks again by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from include.canary.observations import Arm, Look, Sample
from include.canary.plan import TrialPlan
from include.verdict import Decision, Verdict

if TYPE_CHECKING:
    from include.canary.trial import Trial

NO_SAMPLE = Sample()
MIRROR_WEIGHT = 50
"""The canary's percent in a look at mirrored traffic: each request is answered by both arms."""


@dataclass(frozen=True)
class Traffic:
    """What the gateway is to do until the next look: ``weight`` percent of the requests to the canary, or copies of all of them
    (``mirrored``, with a weight of 0), for ``pause_s`` seconds."""

    weight: int
    mirrored: bool
    pause_s: float

    def weights(self, stable: str, canary: str) -> dict[str, int]:
        """Return the percent of each revision that answers callers."""
        return {stable: 100 - self.weight} | ({canary: self.weight} if self.weight else {})


@dataclass(frozen=True)
class Progress:
    """The place of a trial. ``plan`` is what its spec says; ``mirror`` judges the mirrored phase when there is one, ``trial`` the steps;
    ``seen`` looks went in, the last of them ``passed_s`` seconds after the beginning."""

    plan: TrialPlan
    mirror_s: float
    mirror: Trial | None
    trial: Trial
    seen: int = 0
    passed_s: float = 0.0

    @classmethod
    def start(cls, plan: TrialPlan, mirror_s: float = 0.0) -> Progress:
        """Make a trial before its first look. A mirrored phase is a trial of its own: both share the error level."""
        from include.canary.trial import Trial

        if not mirror_s:
            return cls(plan, 0.0, None, Trial.start(plan))
        half = replace(plan, alpha=plan.alpha / 2)
        return cls(plan, mirror_s, Trial.start(replace(half, steps=(MIRROR_WEIGHT,), step_s=mirror_s)), Trial.start(half))

    @property
    def mirroring(self) -> bool:
        """Whether the next look belongs to the mirrored phase."""
        return self.mirror is not None and self.passed_s < self.mirror_s

    @property
    def step(self) -> int:
        """The index of the step that the next look belongs to; 0 during the mirrored phase."""
        return min(max(int((self.passed_s - self.mirror_s) / self.plan.step_s), 0), len(self.plan.steps) - 1)

    @property
    def current(self) -> Trial:
        """The trial that the latest look went to."""
        return self.trial if self.trial.series or self.mirror is None else self.mirror

    @property
    def in_mirror(self) -> bool:
        """Whether the latest look (before the first one: the next) belongs to the mirrored phase."""
        return self.mirror is not None and self.current is self.mirror

    def traffic(self) -> Traffic:
        """Say which traffic the next look needs, and how long it lasts (seconds)."""
        end = self.mirror_s if self.mirroring else self.mirror_s + (self.step + 1) * self.plan.step_s
        pause_s = max(min(self.plan.look_s, end - self.passed_s), 0.0)
        return Traffic(0 if self.mirroring else self.plan.steps[self.step], self.mirroring, pause_s)

    def clock(self, since_s: float, now_s: float) -> float:
        """Return the trial's own clock at ``now_s``, when the traffic of the next look has been there ``since_s`` (seconds of one clock).

        It runs only while somebody looks: a triggerer that was away for a while uses up no more of the trial than two looks.
        """
        return self.passed_s + min(now_s - since_s, 2 * self.plan.look_s)

    def look(self, passed_s: float, stable: Arm, canary: Arm, sample: Sample = NO_SAMPLE) -> Look:
        """Make the look at what both arms have answered since the look before, ``passed_s`` seconds after the beginning; ``sample`` of
        it are requests that both were asked."""
        at_s = passed_s if self.mirroring else passed_s - self.mirror_s
        weight = MIRROR_WEIGHT if self.mirroring else self.plan.steps[self.step]
        return Look(at_s=at_s, step=self.step, weight=weight, stable=stable, canary=canary, asked=sample.asked, compared=sample.compared)

    def observe(self, look: Look, passed_s: float) -> Progress:
        """Return the trial's place after one more look, taken ``passed_s`` seconds after the beginning."""
        if self.mirroring and self.mirror is not None:
            return replace(self, mirror=self.mirror.observe(look), seen=self.seen + 1, passed_s=passed_s)
        return replace(self, trial=self.trial.observe(look), seen=self.seen + 1, passed_s=passed_s)

    def take(self, bodies: Iterable[Mapping[str, Any]]) -> Progress:
        """Return the trial's place after the looks whose stored bodies (``{"look": ..., "passed_s": ...}``) follow those already seen.

        The first look's body holds the trial's ``plan``, which counts: it has what was known of the held-out rows.
        """
        progress = self
        for body in bodies:
            if not progress.seen and body.get("plan"):
                progress = Progress.start(TrialPlan.from_json(body["plan"]), self.mirror_s)
            progress = progress.observe(Look.from_json(body["look"]), float(body["passed_s"]))
        return progress

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON types; a place restored by :meth:`from_json` goes on exactly as this one would."""
        return {
            "plan": self.plan.to_json(),
            "mirror_s": self.mirror_s,
            "mirror": self.mirror.to_json() if self.mirror is not None else None,
            "trial": self.trial.to_json(),
            "seen": self.seen,
            "passed_s": self.passed_s,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Progress:
        from include.canary.trial import Trial

        mirror = Trial.from_json(data["mirror"]) if data["mirror"] is not None else None
        plan, trial = TrialPlan.from_json(data["plan"]), Trial.from_json(data["trial"])
        return cls(plan, float(data["mirror_s"]), mirror, trial, int(data["seen"]), float(data["passed_s"]))

    def verdict(self) -> Verdict:
        """Say what all looks so far come to. Mirrored traffic can end a trial and never win it: what copies can't show, the steps will."""
        verdict = self.current.verdict()
        if self.in_mirror and verdict.decision is not Decision.ROLLBACK:
            return replace(verdict, decision=Decision.CONTINUE)
        return verdict

    def ended_by_hand(self, who: str, why: str, promoted: bool = False) -> Verdict:
        """Return the verdict on a trial that a person ended before the judge did, with the evidence up to then; ``promoted``: by having the
        version promoted."""
        from include.canary.verdicts import ended_by_hand

        return ended_by_hand(self.verdict(), who, why, promoted)
