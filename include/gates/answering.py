"""A language model's metrics, and a judge's marks, as :mod:`include.gates.metrics` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.gates.outcomes import Answered, Marked
from include.gates.weighted import ratio, undefined

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def exact_match(o: Answered, w: Floats) -> Floats:
    return ratio(w @ o.matches.astype(float), w.sum(axis=1))


def format_rate(o: Answered, w: Floats) -> Floats:
    return ratio(w @ o.formed.astype(float), w.sum(axis=1))


def token_f1(o: Answered, w: Floats) -> Floats:
    return ratio(w @ o.overlap, w.sum(axis=1))


def perplexity(o: Answered, w: Floats) -> Floats:
    """Of a token of the reference answers; a long answer counts for more than a short one."""
    import numpy as np

    if o.loss is None:
        return undefined(w)
    perplexity: Floats = np.exp(ratio(w @ o.loss, w @ o.tokens.astype(float)))
    return perplexity


def refusal_rate(o: Answered, w: Floats) -> Floats:
    return undefined(w) if o.checks is None else ratio(w @ o.checks.refused.astype(float), w.sum(axis=1))


def json_rate(o: Answered, w: Floats) -> Floats:
    """Of the rows whose reference is JSON."""
    if o.checks is None:
        return undefined(w)
    wanted = o.checks.json_wanted.astype(float)
    return ratio(w @ (wanted * o.checks.json), w @ wanted)


def personal_data_rate(o: Answered, w: Floats) -> Floats:
    return undefined(w) if o.checks is None else ratio(w @ o.checks.revealed.astype(float), w.sum(axis=1))


def mean_mark(o: Marked, w: Floats) -> Floats:
    return ratio(w @ o.marks, w.sum(axis=1))
