"""Harm in the error rate: the canary's failures against those that chance would give it, look by look, never pooled over steps.

The score is S = sum(e_canary - share * e_both), where the share of traffic is that of the look (or of the few looks around it in the same
step, when they are small): a base rate that drifts from step to step cancels (Mantel and Haenszel 1959; no Simpson's paradox). Given how
many requests failed, the number that fell to the canary is hypergeometric if it is no worse, so the boundary is exact at any traffic.
Every array has a leading axis of trials.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from include.canary.dispersion import Blocks, evident
from include.canary.increments import Increment, binomial, hypergeometric
from include.canary.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.increments import Floats

WINDOW_REQUESTS = 200
"""Small looks of one step share their estimate of the traffic split until they have this many requests together."""
LARGE_LOOK = 100
"""A look of this many requests stands alone: conditioning on its own split costs at most one per cent of the information."""
_BISECTIONS = 24


@dataclass(frozen=True)
class ErrorHarm:
    """``score`` is S, ``slope`` how much S grows per unit of harm, ``totals`` [trials, steps, 3] requests (canary, stable) and failures."""

    walk: Walk
    blocks: Blocks
    score: Floats
    slope: Floats
    window: Floats
    totals: Floats
    step: int = -1

    @classmethod
    def start(cls, steps: int, trials: int = 1) -> ErrorHarm:
        import numpy as np

        zeros = np.zeros(trials)
        return cls(Walk.start(trials), Blocks.start(trials), zeros, zeros, np.zeros((trials, 2)), np.zeros((trials, steps, 3)))

    def observe(self, step: int, canary: Floats, canary_errors: Floats, stable: Floats, stable_errors: Floats, spend: Floats) -> ErrorHarm:
        """One look: requests and failures of both arms [trials]; ``spend`` [trials] as in :meth:`Walk.advance`."""
        import numpy as np

        window = (self.window if step == self.step else np.zeros_like(self.window)) + np.stack([canary, stable], axis=1)
        failures = canary_errors + stable_errors
        large = canary + stable >= LARGE_LOOK
        basis = np.where(large[:, None], np.stack([canary, stable], axis=1), window)
        comparable = basis.min(axis=1) > 0
        law = _law(canary, stable, np.where(comparable, failures, 0.0), basis, large)
        walk = self.walk.advance(law, spend)
        score = np.where(comparable, canary_errors, 0.0) - law.mean
        slope = np.where(comparable, canary * basis[:, 1] / np.maximum(basis.sum(axis=1), 1), 0.0)
        totals = self.totals.copy()
        totals[:, step] += np.stack([canary, stable, failures], axis=1)
        full = window.sum(axis=1) >= WINDOW_REQUESTS
        return ErrorHarm(
            walk=walk,
            blocks=self.blocks.add(score, slope, law.var),
            score=self.score + score,
            slope=self.slope + slope,
            window=np.where(full[:, None], 0.0, window),
            totals=totals,
            step=step,
        )

    @property
    def estimate(self) -> Floats:
        """Harm as a difference of shares [trials]; 0 where nothing can be compared."""
        import numpy as np

        estimate: Floats = np.where(self.slope > 0, self.score / np.maximum(self.slope, 1e-300), 0.0)
        return np.clip(estimate, -1, 1)

    def crossed(self, margin: float) -> Floats:
        """Where the sequential lower bound of the harm is above ``margin`` [trials] of bool."""
        return self._rejects(self.inflation(), margin + 0 * self.score)

    def lower(self) -> Floats:
        """The sequential lower bound of the harm [trials], -1 where there is none."""
        inflation = self.inflation()
        return self._bisect(lambda harm: self._rejects(inflation, harm))

    def upper(self, z: float) -> Floats:
        """The upper bound of the harm at the trial's end, at ``z`` standard errors [trials]; 1 where nothing can be compared.

        A score bound with restricted rates (Miettinen and Nurminen 1985) and continuity correction: it holds with no failure at all.
        """
        import numpy as np

        inflation = self.inflation()

        def allows(harm: Floats) -> Floats:
            reach = z * np.sqrt(inflation * self._variance(harm, null=False))
            allowed: Floats = self.score + 0.5 - harm * self.slope > -reach
            return allowed

        return np.where(self.slope > 0, self._bisect(allows), 1.0)

    def inflation(self) -> Floats:
        """How much the variance between looks exceeds that of independent requests [trials], at least 1."""
        import numpy as np

        ratios, blocks = self.blocks.ratios(self.estimate)
        # A harmful canary shifts the split of failures towards or past one half, which widens it without any correlation.
        failures = np.maximum(self.totals[:, :, 2].sum(axis=1), 1)
        split = np.clip(self.walk.mean / failures, 1e-9, 1 - 1e-9)
        seen = np.clip((self.walk.mean + self.score) / failures, 0, 1)
        natural = np.maximum(seen * (1 - seen) / (split * (1 - split)), 1.0)
        return evident(ratios / natural[:, None], blocks, 1 / np.maximum(self.walk.var, 1e-9))

    def _rejects(self, inflation: Floats, harm: Floats) -> Floats:
        """Where "the harm is at most ``harm``" is rejected by the boundary of the latest look."""
        import numpy as np

        distance = self.walk.boundary - self.walk.mean
        sd = np.sqrt(np.maximum(self.walk.var, 1e-300))
        scale = np.sqrt(inflation * self._variance(harm, null=True)) / sd
        known = np.isfinite(distance) & (self.slope > 0)
        rejected: Floats = known & (self.score - harm * self.slope >= np.where(known, distance, 0.0) * scale - 1e-9)
        return rejected

    def _variance(self, harm: Floats, *, null: bool) -> Floats:
        """Variance of S when the harm is ``harm`` [trials]. ``null``: tied to the exact one at no harm, as the boundary needs it."""
        import numpy as np

        variance = _restricted(self.totals, harm)
        if null:
            variance = np.maximum(self.walk.var + variance - _restricted(self.totals, np.zeros_like(harm)), 0.25 * self.walk.var)
        return variance

    def _bisect(self, true_below: Any) -> Floats:
        """The largest harm at which ``true_below`` holds."""
        import numpy as np

        low, high = np.full_like(self.score, -1.0), np.ones_like(self.score)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            holds = true_below(middle)
            low, high = np.where(holds, middle, low), np.where(holds, high, middle)
        return low

    def take(self, keep: Floats) -> ErrorHarm:
        return ErrorHarm(
            self.walk.take(keep),
            self.blocks.take(keep),
            self.score[keep],
            self.slope[keep],
            self.window[keep],
            self.totals[keep],
            self.step,
        )

    def to_json(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name)[0].tolist() for name in ("score", "slope", "window", "totals")}
        return arrays | {"walk": self.walk.to_json(), "blocks": self.blocks.to_json(), "step": self.step}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ErrorHarm:
        import numpy as np

        arrays = {name: np.array([data[name]]) for name in ("score", "slope", "window", "totals")}
        return cls(walk=Walk.from_json(data["walk"]), blocks=Blocks.from_json(data["blocks"]), step=data["step"], **arrays)


def _law(canary: Floats, stable: Floats, failures: Floats, basis: Floats, large: Floats) -> Increment:
    """Large looks: exact given their own split. Small ones: by the split of the looks around them."""
    import numpy as np

    alone = hypergeometric(canary, stable, failures) if large.any() else None
    if alone is not None and large.all():
        return alone
    shared = binomial(failures, basis[:, 0] / np.maximum(basis.sum(axis=1), 1))
    if alone is None or alone.pmf is None or shared.pmf is None:
        return shared
    pmf = np.zeros((len(failures), max(alone.pmf.shape[1], shared.pmf.shape[1])))
    pmf[large, : alone.pmf.shape[1]] = alone.pmf[large]
    pmf[~large, : shared.pmf.shape[1]] = shared.pmf[~large]
    merged = {name: np.where(large, getattr(alone, name), getattr(shared, name)) for name in ("mean", "var", "exact")}
    return replace(alone, pmf=pmf, **merged)


def _restricted(totals: Floats, harm: Floats) -> Floats:
    """Variance of S from each step's totals, with rates that differ by exactly ``harm`` [trials]."""
    import numpy as np

    canary, stable, failures = np.moveaxis(totals, -1, 0)
    both = np.maximum(canary + stable, 1)
    d = harm[:, None]
    base = np.clip((failures - d * canary) / both, np.maximum(0, -d), np.minimum(1, 1 - d))
    other = base + d
    variance: Floats = (canary * (stable / both) ** 2 * other * (1 - other) + stable * (canary / both) ** 2 * base * (1 - base)).sum(axis=1)
    return np.maximum(variance, 0)
