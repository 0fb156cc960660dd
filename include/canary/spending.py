"""How alpha is shared between the trial's tests, and how much may be used by when. Why: docs/decisions/0002-canary-judge.md."""

from __future__ import annotations

from dataclasses import dataclass

ERRORS = 0.70
"""Share of alpha for the comparison of error rates: failures are rare events and need it most."""
LATENCY = 0.15
"""Share for the comparison of latencies: every request tells something about latency, so little alpha is enough."""
ERROR_LIMIT = 0.05
"""Share for the absolute limit on the error rate."""
P99_LIMIT = 0.05
"""Share for the absolute limit on the 99th percentile."""
REFUSED = 0.05
"""Share for the comparison of refusals: one caller in five that is refused shows at any level."""

EARLY = 0.15
"""Part of a comparison's alpha that is spent evenly over the trial, so that a bad canary is found in minutes."""
LATE_POWER = 3.0
"""The rest is spent as time to this power (O'Brien and Fleming's way, nearly), which keeps the power for small harm at the end."""
LIMIT_AT_ONCE = 0.2
"""Part of a limit's alpha that is there at the first look: three failures of three requests must not wait for time to pass."""


@dataclass(frozen=True)
class Shares:
    """Shares of alpha by test; they add up to 1. ``lengths`` is for both sides together."""

    errors: float
    latency: float
    error_limit: float
    p99_limit: float
    refused: float
    tpot: float = 0.0
    finishes: float = 0.0
    lengths: float = 0.0
    ttft_limit: float = 0.0
    tpot_limit: float = 0.0
    quality: float = 0.0
    refusals: float = 0.0
    agreement: float = 0.0
    answers: float = 0.0


TABLE = Shares(ERRORS, LATENCY, ERROR_LIMIT, P99_LIMIT, REFUSED)
"""For models of a table's rows whose answers are not compared, the watch's among them."""
TABLE_ANSWERS = Shares(ERRORS - 0.10, LATENCY, ERROR_LIMIT, P99_LIMIT, REFUSED, answers=0.10)
"""The same where they are compared. Half of ``answers`` is for the share that is known of the held-out rows."""
CHAT = Shares(
    errors=0.42,
    latency=0.10,
    error_limit=0.05,
    p99_limit=0.05,
    refused=0.03,
    tpot=0.06,
    finishes=0.08,
    lengths=0.04,
    ttft_limit=0.025,
    tpot_limit=0.025,
    quality=0.08,
    refusals=0.02,
    agreement=0.02,
)
"""For language models. A test that a trial leaves out leaves its share unspent."""


def comparison(alpha: float, elapsed: float) -> float:
    """Alpha that a comparison may have used after ``elapsed`` (0 to 1) of the trial's longest duration."""
    t = min(max(elapsed, 0.0), 1.0)
    return float(alpha * (EARLY * t + (1 - EARLY) * t**LATE_POWER))


def limit(alpha: float, elapsed: float) -> float:
    """The same for an absolute limit."""
    t = min(max(elapsed, 0.0), 1.0)
    return alpha * (LIMIT_AT_ONCE + (1 - LIMIT_AT_ONCE) * t)
