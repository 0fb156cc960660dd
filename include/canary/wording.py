"""The judge's sentences for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from include.numerals import significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from include.canary.figures import Figures
    from include.canary.observations import Arm
    from include.verdict import Rule

FAILING_SHARE = 0.05
FAILING_REQUESTS = 20
"""Stable is called failing itself when more than this share of at least so many requests failed."""

BOUNDLESS = 100.0
"""An upper bound of a slowdown beyond this comes of too few answers to say anything."""
MARGIN_AND_TOLERANCE = (
    "Harm is what the canary does worse than stable in the same looks: points of errors, or a share of latency. Its margin is the harm "
    "that a version may do: as soon as more than that is proven, the trial ends and the version is rolled back. Its tolerance is the "
    "harm that must be ruled out for promotion, at the trial's end. What lies between the two is undecided: more requests would tell."
)


def percent(share: float) -> str:
    """``0.0213`` → ``2.13 %``."""
    return f"{significant(100 * share, 3)} %"


def points(difference: float) -> str:
    """A difference of shares: ``0.009`` → ``0.9 percentage points``."""
    number = significant(100 * difference, 2)
    return f"{number} percentage point{'' if number == '1' else 's'}"


def at_most_harm(upper: float) -> str:
    """An upper bound of a difference of error shares: ``0.004`` → ``harm at most 0.4 percentage points``, ``-0.053`` → ``at least 5.3
    percentage points fewer errors``."""
    return f"at least {points(-upper)} fewer errors" if upper < 0 else f"harm at most {points(upper)}"


def slower(harm: float) -> str:
    """A relative slowdown: ``0.12`` → ``12 % slower``, ``12.4`` → ``13.4 times as slow``."""
    return f"{percent(harm)} slower" if harm < 1 else f"{significant(1 + harm, 3)} times as slow"


def at_most_slower(harm: float) -> str:
    """An upper bound of a slowdown: ``0.05`` → ``at most 5 % slower``, ``-0.028`` → ``at least 2.8 % faster``."""
    if harm > BOUNDLESS:
        return "no bound yet"
    return f"at least {percent(-harm)} faster" if harm < 0 else f"at most {slower(harm)}"


def may_be_slower(harm: float) -> str:
    """An upper bound that is too high: ``0.4`` → ``may be 40 % slower``; of a handful of answers it says nothing."""
    return "may be slower by any factor: too few answers so far" if harm > BOUNDLESS else f"may be {slower(harm)}"


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


def error_share(trial: Figures) -> str:
    if not trial.canary.requests:
        return "the canary answered no request, so nothing is known of its errors."
    return f"{rate(trial.canary)} of the canary's requests failed; the limit is {percent(trial.plan.max_error_rate)}."


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


def under_way(trial: Figures, unproven: Sequence[Rule]) -> list[str]:
    """What is seen of a trial that goes on; then what would keep the canary from promotion if it ended now, and when that is decided."""
    duration = f"{trial.plan.duration_s:g} s"
    seen = (
        f"after {trial.at_s:.0f} of {duration} no harm is proven. Seen so far: errors {rate(trial.canary)} against {rate(trial.stable)}, "
        f"median latency {_median(trial.canary)} against {_median(trial.stable)}."
    )
    if not unproven:
        return [seen, f"Promotion's conditions hold as of now; they are decided at the end, after {duration}."]
    rest = " ".join(f"{rule.name}: {rule.detail}" for rule in unproven)
    return [seen, f"Not proven yet, and decided at the end, after {duration}: {rest}"]


def requests(trial: Figures) -> str:
    if not trial.canary.requests and trial.canary.refused:
        return f"the canary took no request: it refused {refused(trial.canary)}, and stable {refused(trial.stable)}."
    if not trial.canary.requests:
        return "the canary got no request, so nothing is known about it."
    if not trial.stable.requests:
        return "stable got no request, so there is nothing to compare the canary with."
    if trial.canary.requests < trial.plan.min_requests:
        return f"the canary got {trial.canary.requests} requests; it is promoted on no fewer than {trial.plan.min_requests}.{_pace(trial)}"
    return f"the canary got {trial.canary.requests} requests, stable {trial.stable.requests}."


def _pace(trial: Figures) -> str:
    """How fast answers came, and how long a trial would need for enough of them; nothing while it goes on."""
    if not trial.ended or not trial.at_s:
        return ""
    every = (trial.canary.requests + trial.stable.requests) / trial.at_s
    longer = trial.plan.step_s * trial.plan.min_requests / trial.canary.requests
    return f" Both arms answered {significant(every, 2)} a second: steps of {significant(longer, 2)} s (`canary.step_s`) would do."


def error_bound(trial: Figures, upper: float) -> str:
    if not trial.errors.slope[0] > 0:
        return "the arms have no requests in the same step, so errors cannot be compared."
    against = f"canary {rate(trial.canary)} against stable {rate(trial.stable)}"
    tolerance = trial.plan.error_tolerance
    if upper < tolerance:
        return f"{against}: {at_most_harm(upper)}, under the tolerance of {points(tolerance)}."
    return f"{against}: the harm may be as large as {points(upper)}, and no more than {points(tolerance)} may be."


def latency_bound(trial: Figures, upper: float | None) -> str:
    if upper is None:
        return "the arms have no latencies in the same look, so latency cannot be compared."
    tolerance = trial.plan.latency_tolerance
    if upper < tolerance:
        return f"the canary is {at_most_slower(upper)}, under the tolerance of {percent(tolerance)}."
    return f"the canary {may_be_slower(upper)}, and only {percent(tolerance)} are tolerated."


def about_stable(trial: Figures) -> list[str]:
    """A warning when stable itself is failing: then the comparison says little."""
    arm = trial.stable
    if arm.requests < FAILING_REQUESTS or arm.errors <= max(FAILING_SHARE, trial.plan.max_error_rate) * arm.requests:
        return []
    return [f"stable itself is failing: {rate(arm)} of its requests failed. Look at stable first; a comparison with it says little."]


def _median(arm: Arm) -> str:
    median = arm.latencies.quantile(0.5)
    return "unknown" if median is None else f"{median:.1f} ms"
