"""What a language model's trial tests besides errors and latency: pace, bad ends, lengths, limits of seconds, quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.canary.asked import NOTHING, Asked
from include.canary.error_harm import ErrorHarm
from include.canary.histogram import clip_bounds, moments, slower_than
from include.canary.latency_harm import LatencyHarm, Moments
from include.canary.limits import LimitTest
from include.canary.spending import CHAT, comparison, limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.increments import Floats
    from include.canary.observations import Answers, Latencies, Look
    from include.canary.plan import ChatPlan

SLOW_SHARE = 0.05
"""Share of the answers that may be slower than an absolute limit: it is one of the 95th percentile."""


@dataclass(frozen=True)
class ChatTests:
    """``tpot`` compares the time of a token, ``finishes`` the share of answers cut off or empty, ``longer`` and ``shorter`` their length
    (both ways round: each finds what the other can't); ``ttft_limit`` and ``tpot_limit`` hold the canary to a number of milliseconds;
    ``asked`` is everything asked of both arms so far."""

    tpot: LatencyHarm
    finishes: ErrorHarm
    longer: LatencyHarm
    shorter: LatencyHarm
    ttft_limit: LimitTest
    tpot_limit: LimitTest
    asked: Asked = NOTHING

    @classmethod
    def start(cls, plan: ChatPlan, steps: int) -> ChatTests:
        """Tests of a trial of so many steps that have seen nothing yet."""
        ttft, tpot = (LimitTest.start(SLOW_SHARE if most is not None else 1.0) for most in (plan.max_ttft_ms, plan.max_tpot_ms))
        return cls(LatencyHarm.start(), ErrorHarm.start(steps), LatencyHarm.start(), LatencyHarm.start(), ttft, tpot)

    def observe(self, plan: ChatPlan, look: Look, stable: Answers, canary: Answers, alpha: float, elapsed: float) -> ChatTests:
        """One look further. ``stable`` and ``canary`` are all answers so far, ``alpha`` the trial's, ``elapsed`` as in ``spending``."""
        import numpy as np

        def one(value: float) -> Floats:
            return np.array([float(value)])

        def spend(share: float) -> Floats:
            return one(comparison(alpha * share, elapsed))

        ours, theirs = look.canary.answers, look.stable.answers
        tpot = _both(ours.tpot, theirs.tpot, canary.tpot, stable.tpot)
        lengths = _both(ours.lengths, theirs.lengths, canary.lengths, stable.lengths)
        ended, bad, their_ended, their_bad = (one(count) for count in (ours.ended, ours.bad, theirs.ended, theirs.bad))
        return ChatTests(
            tpot=self.tpot.observe(*tpot, spend(CHAT.tpot)),
            finishes=self.finishes.observe(look.step, ended, bad, their_ended, their_bad, spend(CHAT.finishes)),
            longer=self.longer.observe(*lengths, spend(CHAT.lengths / 2)),
            shorter=self.shorter.observe(lengths[1], lengths[0], spend(CHAT.lengths / 2)),
            ttft_limit=_held(self.ttft_limit, ours.ttft, plan.max_ttft_ms, one(limit(alpha * CHAT.ttft_limit, elapsed))),
            tpot_limit=_held(self.tpot_limit, ours.tpot, plan.max_tpot_ms, one(limit(alpha * CHAT.tpot_limit, elapsed))),
            asked=self.asked + look.asked,
        )

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name).to_json() for name in _PARTS}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ChatTests:
        return cls(**{name: kind.from_json(data[name]) for name, kind in _PARTS.items()})


_PARTS: dict[str, Any] = {
    "tpot": LatencyHarm,
    "finishes": ErrorHarm,
    "longer": LatencyHarm,
    "shorter": LatencyHarm,
    "ttft_limit": LimitTest,
    "tpot_limit": LimitTest,
    "asked": Asked,
}


def _both(ours: Latencies, theirs: Latencies, canary: Latencies, stable: Latencies) -> tuple[Moments, Moments]:
    return moments(ours, clip_bounds(canary, stable)), moments(theirs, clip_bounds(stable, canary))


def _held(test: LimitTest, seen: Latencies, most_ms: float | None, spend: Floats) -> LimitTest:
    import numpy as np

    if most_ms is None:
        return test
    return test.observe(np.array([float(seen.n)]), np.array([float(slower_than(seen, most_ms))]), spend)
