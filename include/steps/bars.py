"""What a form of a model must keep to in order to be served."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bars:
    """The spec's ``optimize.max_score_drop`` (of the score, beside the original's) and ``optimize.min_speedup`` (over the plain form)."""

    max_score_drop: float
    min_speedup: float
