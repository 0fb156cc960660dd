"""Absolute limits: is the canary's share of bad requests certainly above what is allowed, whatever stable does?

Bad is a failed request (``max_error_rate``) or one slower than ``max_p99_ms`` (of which one per cent is allowed: that is what a 99th
percentile says). The number of bad requests is binomial at the limit; the boundary is exact (:mod:`include.canary.walk`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.canary.increments import binomial
from include.canary.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.increments import Floats

P99_SHARE = 0.01


@dataclass(frozen=True)
class LimitTest:
    """``bad`` of ``requests`` were bad [trials]; ``share`` of them is allowed."""

    share: float
    walk: Walk
    bad: Floats
    requests: Floats

    @classmethod
    def start(cls, share: float, trials: int = 1) -> LimitTest:
        import numpy as np

        return cls(share, Walk.start(trials), np.zeros(trials), np.zeros(trials))

    def observe(self, requests: Floats, bad: Floats, spend: Floats) -> LimitTest:
        """One look's requests and how many were bad [trials]."""
        import numpy as np

        walk = self.walk.advance(binomial(requests, np.full_like(requests, self.share)), spend)
        return LimitTest(self.share, walk, self.bad + bad, self.requests + requests)

    def crossed(self) -> Floats:
        """Where the share is certainly above the limit [trials] of bool. A limit of 100 % is never crossed."""
        import numpy as np

        crossed: Floats = (self.share < 1) & np.isfinite(self.walk.boundary) & (self.bad >= self.walk.boundary - 1e-9)
        return crossed

    def to_json(self) -> dict[str, Any]:
        return {"share": self.share, "walk": self.walk.to_json(), "bad": float(self.bad[0]), "requests": float(self.requests[0])}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LimitTest:
        import numpy as np

        return cls(data["share"], Walk.from_json(data["walk"]), np.array([data["bad"]]), np.array([data["requests"]]))
