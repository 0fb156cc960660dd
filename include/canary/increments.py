"""What one look adds to a cumulative statistic if the canary is no worse: the null laws of an increment.

Every array has a leading axis of trials. A running service has one trial; the benchmark drives four hundred through the same code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

MAX_SUPPORT = 256
"""An increment with more possible values than this is treated as normal: its skewness no longer matters."""


@dataclass(frozen=True)
class Increment:
    """``mean`` and ``var`` [trials]; ``pmf`` [trials, values] over the integers 0, 1, 2, ..., or None for a normal increment.

    ``exact`` [trials] says for which trials the pmf holds; the others take the normal law.
    """

    mean: Floats
    var: Floats
    pmf: Floats | None
    exact: Floats


def binomial(trials: Floats, share: Floats) -> Increment:
    """Number of ``trials`` that fall to the canary when each does so independently with chance ``share``. Both [trials]."""
    import numpy as np

    share = np.clip(share, 1e-12, 1 - 1e-12)
    mean = trials * share
    var = mean * (1 - share)
    support, exact = _support(trials, mean, var)
    j = np.arange(support)
    with np.errstate(divide="ignore"):
        ratios = np.log(np.maximum(trials[:, None] - j, 0)) - np.log(j + 1.0) + np.log(share / (1 - share))[:, None]
    return Increment(mean, var, _pmf(ratios, j <= trials[:, None]), exact)


def hypergeometric(canary: Floats, stable: Floats, failures: Floats) -> Increment:
    """Number of a look's ``failures`` that fall to the canary when they are spread over all its requests at random. All [trials]."""
    import numpy as np

    total = np.maximum(canary + stable, 1)
    share = canary / total
    mean = failures * share
    var = mean * (1 - share) * np.maximum(total - failures, 0) / np.maximum(total - 1, 1)
    support, exact = _support(failures, mean, var)
    j = np.arange(support)
    c, s, e = canary[:, None], stable[:, None], failures[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.log(np.maximum(c - j, 0)) + np.log(np.maximum(e - j, 0))
        ratios = up - np.log(j + 1.0) - np.log(np.maximum(s - e + j + 1, 0))
    return Increment(mean, var, _pmf(ratios, (j <= e) & (j <= c) & (e - j <= s)), exact)


def normal(var: Floats) -> Increment:
    """A centred normal increment of variance ``var`` [trials]."""
    import numpy as np

    return Increment(np.zeros_like(var), var, None, np.zeros(len(var), bool))


def _support(most: Floats, mean: Floats, var: Floats) -> tuple[int, Floats]:
    """How many values to tabulate, and for which trials that is enough. Beyond eight standard deviations and 24 values no mass is left."""
    import numpy as np

    needed = np.minimum(most, np.ceil(mean + 8 * np.sqrt(var) + 24)) + 1
    exact = needed <= MAX_SUPPORT
    return int(needed[exact].max(initial=1)), exact


def _pmf(log_ratios: Floats, valid: Floats) -> Floats:
    """Probabilities from the logarithms of p[j+1] / p[j]; ``valid`` marks the (contiguous) possible values."""
    import numpy as np

    both = valid[:, :-1] & valid[:, 1:]
    logs = np.zeros(valid.shape)
    np.cumsum(np.where(both, log_ratios[:, :-1], 0.0), axis=1, out=logs[:, 1:])
    logs = np.where(valid, logs, -np.inf)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    pmf: Floats = weights / weights.sum(axis=1, keepdims=True)
    return pmf
