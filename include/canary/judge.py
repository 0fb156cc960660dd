"""The judge: observations of stable and canary in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from include.canary.trial import Trial

if TYPE_CHECKING:
    from include.canary.observations import Look
    from include.canary.plan import TrialPlan
    from include.verdict import Verdict


def judge(looks: Iterable[Look], plan: TrialPlan) -> Verdict:
    """The verdict after ``looks`` (in order of time). The same as feeding them one by one to :class:`include.canary.trial.Trial`."""
    trial = Trial.start(plan)
    for look in looks:
        trial = trial.observe(look)
    return trial.verdict()
