"""A canary trial as it goes: a value that each look turns into the next, with the judge's verdict on all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from include.canary.figures import Figures
from include.canary.verdicts import alarms, point, verdict

if TYPE_CHECKING:
    from include.canary.observations import Look
    from include.verdict import Verdict


class Trial(Figures):
    """The state of a trial (:class:`include.canary.figures.Figures`), judged look by look."""

    def observe(self, look: Look) -> Self:
        """Return the trial after one more look. Raises InputError for a look that cannot be."""
        trial = self.scored(look)
        trial = replace(trial, series=(*self.series, point(trial, look)))
        return replace(trial, alarms={**alarms(trial), **self.alarms})

    def verdict(self) -> Verdict:
        """Say what the evidence so far comes to: CONTINUE until an alarm (ROLLBACK) or the end (PROMOTE or INCONCLUSIVE)."""
        return verdict(self)
