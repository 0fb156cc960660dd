"""From a trial's figures to its verdict: alarms, rules, reasons in sentences, evidence."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from include.canary import answers_verdicts, chat_verdicts, wording
from include.verdict import Decision, Rule, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from include.canary.figures import Figures
    from include.canary.observations import Look

Z_FLOOR = 1.0
MOST_POINTS = 1000
"""Points of the curves that a verdict keeps."""


def point(trial: Figures, look: Look) -> dict[str, Any]:
    """One point of the series. Rates and quantiles are cumulative; bounds of harm are differences of shares and relative latencies."""
    lower, upper = float(trial.errors.lower()[0]), float(trial.errors.upper(_z(trial))[0])
    slower, slowest = float(trial.latency.lower()[0]), float(trial.latency.upper(_z(trial))[0])
    arms = {"stable": trial.stable, "canary": trial.canary}
    figures: dict[str, Any] = {"at_s": look.at_s, "step": look.step, "weight": look.weight}
    for name, arm in arms.items():
        figures[f"{name}_requests"] = arm.requests
        figures[f"{name}_errors"] = arm.errors
        figures[f"{name}_error_rate"] = arm.errors / arm.requests if arm.requests else None
        figures[f"{name}_p50_ms"] = _rounded(arm.latencies.quantile(0.5))
        figures[f"{name}_p99_ms"] = _rounded(arm.latencies.quantile(0.99))
    compared = bool(trial.errors.slope[0] > 0)
    figures["error_harm"] = float(trial.errors.estimate[0]) if compared else None
    figures["error_harm_lower"] = lower if compared and lower > -1 + 1e-6 else None
    figures["error_harm_upper"] = upper if compared else None
    figures["latency_harm"] = math.expm1(float(trial.latency.estimate[0])) if trial.latency.weight[0] > 0 else None
    figures["latency_harm_lower"] = _relative(slower)
    figures["latency_harm_upper"] = _relative(slowest)
    return figures | chat_verdicts.point(trial, _z(trial)) | answers_verdicts.point(trial)


def alarms(trial: Figures) -> dict[str, str]:
    """The tests that cross their boundary at this look, each with its sentence."""
    plan, crossed = trial.plan, {}
    if trial.errors.crossed(plan.error_margin)[0]:
        crossed["errors"] = wording.error_harm(trial)
    if trial.latency.crossed(plan.latency_margin)[0]:
        crossed["latency"] = wording.latency_harm(trial)
    if trial.error_limit.crossed()[0]:
        crossed["error limit"] = wording.error_limit(trial)
    if trial.p99_limit.crossed()[0]:
        crossed["p99 limit"] = wording.p99_limit(trial)
    if trial.refused.crossed(plan.error_margin)[0]:
        crossed["refusals"] = wording.refusals(trial)
    return crossed | chat_verdicts.alarms(trial) | answers_verdicts.alarms(trial)


def verdict(trial: Figures) -> Verdict:
    """ROLLBACK on any alarm; else CONTINUE before the end; at the end PROMOTE if every rule passed, INCONCLUSIVE if not."""
    rules = _rules(trial)
    open_rules = [rule for rule in rules if rule.passed is not True]
    if trial.alarms:
        decision, reasons = Decision.ROLLBACK, list(trial.alarms.values())
    elif not trial.ended:
        decision, reasons = Decision.CONTINUE, wording.under_way(trial, open_rules)
    elif open_rules:
        decision, reasons = Decision.INCONCLUSIVE, [f"{rule.name}: {rule.detail}" for rule in open_rules]
    else:
        decision, reasons = Decision.PROMOTE, [f"{rule.name}: {rule.detail}" for rule in rules]
    reasons += [*answers_verdicts.unknown(trial), *wording.about_stable(trial)]
    series = [dict(point) for point in _thinned(trial.series)]
    evidence = {"plan": trial.plan.to_json(), "looks": len(trial.series), "series": series, "alarms": dict(trial.alarms)}
    evidence |= {"asked": trial.chat.asked.to_json()} if trial.chat else {}
    evidence |= {"compared": trial.answers.compared.to_json()} if trial.answers else {}
    return Verdict(decision, tuple(reasons), rules, evidence)


def first_version(champion: int | None, version: int) -> Verdict:
    """PROMOTE: there is nothing that the version could be tried against."""
    reason = "There is no champion to compare with: the first version is promoted as it is."
    return Verdict(Decision.PROMOTE, (reason,), evidence={"champion": champion, "version": version})


def recompute(evidence: Mapping[str, Any], looks: Sequence[Mapping[str, Any]]) -> Verdict:
    """The verdict again from its stored evidence and the stored looks (``{"look", "mirrored", ...}``, in order) of its run.

    Raises InputError when they can't be what a trial has left.
    """
    from include.canary.observations import Look
    from include.canary.plan import TrialPlan
    from include.canary.trial import Trial

    if "plan" not in evidence:
        return first_version(evidence["champion"], evidence["version"])
    trial, last = Trial.start(TrialPlan.from_json(evidence["plan"])), bool(looks and looks[-1].get("mirrored"))
    # Copies and real traffic are judged apart; the verdict is of the part that it ended in.
    for body in looks:
        if bool(body.get("mirrored")) == last:
            trial = trial.observe(Look.from_json(body["look"]))
    found = verdict(trial)
    return ended_by_hand(found, **evidence["by_hand"]) if "by_hand" in evidence else found


def ended_by_hand(so_far: Verdict, who: str, why: str, promoted: bool = False) -> Verdict:
    """The verdict on a trial that a person ended before the judge did, with the evidence up to then; ``promoted``: the person had the
    version promoted."""
    evidence = {**so_far.evidence, "by_hand": {"who": who, "why": why, **({"promoted": True} if promoted else {})}}
    word, decision = ("Promoted", Decision.PROMOTE) if promoted else ("Ended", Decision.ENDED_BY_HAND)
    reasons = (f"{word} by hand, by {who}: {why}", *so_far.reasons)
    return Verdict(decision, reasons, so_far.rules, evidence)


def _thinned(series: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """About :data:`MOST_POINTS` points, the last among them: a curve needs no more, and each look is kept by itself."""
    every = max(1, -(-len(series) // MOST_POINTS))
    kept = series[::every]
    return kept if len(series) % every == 1 or every == 1 else (*kept, series[-1])


def _rules(trial: Figures) -> tuple[Rule, ...]:
    return (
        _requests(trial),
        _error_harm(trial),
        _latency_harm(trial),
        _error_limit(trial),
        *_p99_limit(trial),
        *_refusals(trial),
        *chat_verdicts.rules(trial, _z(trial)),
        *answers_verdicts.rules(trial),
    )


def _decided(trial: Figures, name: str, ok: bool) -> bool | None:
    """False once the alarm rang; else True if the promotion's condition holds; else None: undecided."""
    if name in trial.alarms:
        return False
    return True if ok else None


def _requests(trial: Figures) -> Rule:
    needed, seen = trial.plan.min_requests, trial.canary.requests
    passed = True if seen >= needed and trial.stable.requests > 0 else None
    figure = f"canary {seen}, stable {trial.stable.requests}"
    return Rule("requests", passed, figure, f"canary at least {needed}, stable at least 1", wording.requests(trial))


def _error_harm(trial: Figures) -> Rule:
    upper, plan = float(trial.errors.upper(_z(trial))[0]), trial.plan
    comparable = trial.errors.slope[0] > 0
    passed = _decided(trial, "errors", bool(comparable and upper < plan.error_tolerance))
    bar = f"rollback above {wording.points(plan.error_margin)}, promotion below {wording.points(plan.error_tolerance)}"
    figure = wording.at_most_harm(upper) if comparable else "not comparable"
    return Rule("errors", passed, figure, bar, trial.alarms.get("errors") or wording.error_bound(trial, upper))


def _latency_harm(trial: Figures) -> Rule:
    upper, plan = _relative(float(trial.latency.upper(_z(trial))[0])), trial.plan
    passed = _decided(trial, "latency", upper is not None and upper < plan.latency_tolerance)
    bar = f"rollback above {wording.percent(plan.latency_margin)}, promotion below {wording.percent(plan.latency_tolerance)}"
    figure = wording.at_most_slower(upper) if upper is not None else "not comparable"
    return Rule("latency", passed, figure, bar, trial.alarms.get("latency") or wording.latency_bound(trial, upper))


def _error_limit(trial: Figures) -> Rule:
    limit, arm = trial.plan.max_error_rate, trial.canary
    rate = arm.errors / arm.requests if arm.requests else None
    passed = _decided(trial, "error limit", rate is not None and rate <= limit)
    figure = wording.rate(arm)
    detail = trial.alarms.get("error limit") or wording.error_share(trial)
    return Rule("error limit", passed, figure, f"at most {wording.percent(limit)}", detail)


def _refusals(trial: Figures) -> tuple[Rule, ...]:
    """Requests that the canary calls the caller's fault (4xx) and stable doesn't; nothing to say where neither refused one."""
    if not trial.canary.refused and not trial.stable.refused:
        return ()
    figure = f"canary {wording.refused(trial.canary)}, stable {wording.refused(trial.stable)}"
    passed = "refusals" not in trial.alarms
    detail = trial.alarms.get("refusals") or f"{figure}: no more than chance gives it."
    return (Rule("refusals", passed, figure, "no more of the canary than of stable", detail),)


def _p99_limit(trial: Figures) -> tuple[Rule, ...]:
    limit = trial.plan.max_p99_ms
    if limit is None:
        return ()
    p99 = trial.canary.latencies.quantile(0.99)
    passed = _decided(trial, "p99 limit", p99 is not None and p99 <= limit)
    figure = f"{p99:.1f} ms" if p99 is not None else "no latency seen"
    detail = trial.alarms.get("p99 limit") or f"the canary's 99th percentile is {figure}; the limit is {limit:g} ms."
    return (Rule("p99 limit", passed, figure, f"at most {limit:g} ms", detail),)


def _z(trial: Figures) -> float:
    """Normal quantile of the promotion's bounds: one look, at the end, each bound at the full alpha (all must hold)."""
    return max(NormalDist().inv_cdf(1 - trial.plan.alpha), Z_FLOOR)


def _relative(log_ratio: float) -> float | None:
    return math.expm1(min(log_ratio, 50.0)) if math.isfinite(log_ratio) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
