"""How often two versions answer the same rows differently: what their answers to live rows are held against in the trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.gates.evaluation import Disagreement
from include.gates.outcomes import Labelled, Measured, Tagged

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from include.gates.evaluation import Evaluation
    from include.gates.outcomes import Outcome

USUAL = 0.99
"""Numbers differ when they are further apart than this share of the held-out rows' are."""
SAME = 1e-4
"""... and than this part of the predictions' spread: what is served may be another form of the model than the one that was evaluated."""


def disagreement(ours: Outcome, theirs: Outcome, groups: npt.NDArray[np.int64] | None) -> Disagreement | None:
    """Count the rows that two models answered differently, one row of each of ``groups``; None where there is no row to count.

    Of numbers, 1 - ``USUAL`` of the rows differ by the tolerance's definition: an order statistic's share has the same law as the count's
    bound, so that it may be taken for one.
    """
    import numpy as np

    if groups is not None:
        first = np.unique(groups, return_index=True)[1]
        ours, theirs = ours.take(first), theirs.take(first)
    rows = len(ours)
    if not rows:
        return None
    if isinstance(ours, Labelled) and isinstance(theirs, Labelled):
        return Disagreement(rows, int((ours.predicted != theirs.predicted).sum()))
    if isinstance(ours, Tagged) and isinstance(theirs, Tagged):
        return Disagreement(rows, int((ours.predicted != theirs.predicted).any(axis=1).sum()))
    if not isinstance(ours, Measured) or not isinstance(theirs, Measured):
        return None
    apart = np.sort(np.abs(ours.predicted - theirs.predicted))
    usual = float(apart[int(np.ceil(USUAL * rows)) - 1])
    if not np.isfinite(apart).all():
        return None
    return Disagreement(rows, rows - int(np.ceil(USUAL * rows)), max(usual, SAME * float(np.std(theirs.predicted))))


def known(evaluation: Evaluation | None, champion: str) -> tuple[Disagreement | None, str]:
    """Return what ``evaluation`` knows of the new version's answers beside those of ``champion``, and else None and why in a sentence."""
    theirs = evaluation.champion if evaluation else None
    if theirs is None:
        return None, f"the held-out rows were not answered by champion {champion} as well."
    if theirs.version != champion:
        return None, f"the held-out rows were answered by version {theirs.version} as well, and champion is {champion} now."
    if theirs.disagreement is None:
        return None, f"{theirs.not_comparable or 'no held-out row can be compared'}.".replace("..", ".")
    return theirs.disagreement, ""
