"""The judge's sentences for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.canary.figures import Figures
    from include.canary.observations import Arm

FAILING_SHARE = 0.05
FAILING_REQUESTS = 20
"""Stable is called failing itself when more than this share of at least so many requests failed."""


def percent(share: float) -> str:
    """``0.0213`` → ``2.1 %``."""
    return f"{100 * share:.3g} %"


def points(difference: float) -> str:
    """A difference of shares: ``0.009`` → ``0.9 percentage points``."""
    return f"{100 * difference:.2g} percentage points"


def slower(harm: float) -> str:
    """A relative slowdown: ``0.12`` → ``12 % slower``, ``12.4`` → ``13.4 times as slow``."""
    return f"{percent(harm)} slower" if harm < 1 else f"{1 + harm:.3g} times as slow"


def at_most_slower(harm: float) -> str:
    """An upper bound of a slowdown: ``0.05`` → ``at most 5 % slower``, ``-0.028`` → ``at least 2.8 % faster``."""
    return f"at least {percent(-harm)} faster" if harm < 0 else f"at most {percent(harm)} slower"


def rate(arm: Arm) -> str:
    """An arm's share of failures with its counts."""
    if not arm.requests:
        return "no request"
    return f"{percent(arm.errors / arm.requests)} ({arm.errors} of {arm.requests})"


def error_harm(trial: Figures) -> str:
    lower = max(float(trial.errors.lower()[0]), trial.plan.error_margin)
    return (
        f"errors: canary {rate(trial.canary)} against stable {rate(trial.stable)}: the harm is at least {points(lower)}, "
        f"over the margin of {points(trial.plan.error_margin)}."
    )


def latency_harm(trial: Figures) -> str:
    estimate, lower = (math.expm1(float(value[0])) for value in (trial.latency.estimate, trial.latency.lower()))
    return (
        f"latency: the canary is {slower(estimate)} (median {_median(trial.canary)} against {_median(trial.stable)}), at least "
        f"{slower(lower)}, over the margin of {percent(trial.plan.latency_margin)}."
    )


def error_limit(trial: Figures) -> str:
    limit = percent(trial.plan.max_error_rate)
    return f"error limit: {rate(trial.canary)} of the canary's requests failed, certainly more than the {limit} allowed."


def p99_limit(trial: Figures) -> str:
    test = trial.p99_limit
    return (
        f"p99 limit: {int(test.bad[0])} of the canary's {int(test.requests[0])} requests took longer than {trial.plan.max_p99_ms:g} ms, "
        f"certainly more than the 1 % that a 99th percentile allows."
    )


def refused(arm: Arm) -> str:
    """An arm's share of refused requests (4xx) with its counts."""
    every = arm.requests + arm.refused
    return f"{percent(arm.refused / every)} ({arm.refused} of {every})" if every else "no request"


def refusals(trial: Figures) -> str:
    return (
        f"refusals: the canary refused {refused(trial.canary)} of its requests (4xx), stable {refused(trial.stable)}: callers "
        "who ask as they always do are turned away. Compare the two versions' inputs."
    )


def under_way(trial: Figures) -> str:
    return (
        f"after {trial.at_s:.0f} of {trial.plan.duration_s:g} s nothing speaks against the canary: errors {rate(trial.canary)} "
        f"against {rate(trial.stable)}, median latency {_median(trial.canary)} against {_median(trial.stable)}."
    )


def requests(trial: Figures) -> str:
    if not trial.canary.requests and trial.canary.refused:
        return f"the canary took no request: it refused {refused(trial.canary)}, and stable {refused(trial.stable)}."
    if not trial.canary.requests:
        return "the canary got no request, so nothing is known about it."
    if not trial.stable.requests:
        return "stable got no request, so there is nothing to compare the canary with."
    if trial.canary.requests < trial.plan.min_requests:
        return f"the canary got {trial.canary.requests} requests; it is promoted on no fewer than {trial.plan.min_requests}."
    return f"the canary got {trial.canary.requests} requests, stable {trial.stable.requests}."


def error_bound(trial: Figures, upper: float) -> str:
    if not trial.errors.slope[0] > 0:
        return "the arms have no requests in the same step, so errors cannot be compared."
    against = f"canary {rate(trial.canary)} against stable {rate(trial.stable)}"
    tolerance = trial.plan.error_tolerance
    if upper < tolerance:
        return f"{against}: the harm is at most {points(upper)}, under the tolerance of {points(tolerance)}."
    return f"{against}: the harm may be as large as {points(upper)}, and only {points(tolerance)} are tolerated."


def latency_bound(trial: Figures, upper: float | None) -> str:
    if upper is None:
        return "the arms have no latencies in the same look, so latency cannot be compared."
    tolerance = trial.plan.latency_tolerance
    if upper < tolerance:
        return f"the canary is {at_most_slower(upper)}, under the tolerance of {percent(tolerance)}."
    return f"the canary may be {percent(upper)} slower, and only {percent(tolerance)} are tolerated."


def about_stable(trial: Figures) -> list[str]:
    """A warning when stable itself is failing: then the comparison says little."""
    arm = trial.stable
    if arm.requests < FAILING_REQUESTS or arm.errors <= max(FAILING_SHARE, trial.plan.max_error_rate) * arm.requests:
        return []
    return [f"stable itself is failing: {rate(arm)} of its requests failed. Look at stable first; a comparison with it says little."]


def _median(arm: Arm) -> str:
    median = arm.latencies.quantile(0.5)
    return "unknown" if median is None else f"{median:.1f} ms"
