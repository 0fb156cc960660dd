"""A language model's part of the verdict: what its tests of :mod:`include.canary.chat_tests` come to, in figures and sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from include.canary import asked as bets
from include.canary.spending import CHAT
from include.canary.wording import at_most_slower, percent, points, slower
from include.verdict import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.asked import Asked, Example
    from include.canary.chat_tests import ChatTests
    from include.canary.figures import Figures
    from include.canary.observations import Answers, Latencies
    from include.canary.plan import ChatPlan

NAMED = 3
"""Prompts that a sentence names."""
SHOWN = 80
"""Characters of a prompt or answer in a sentence."""
Tally = tuple[int, int, int]
"""Prompts with which the canary did worse, the same, better."""


def alarms(trial: Figures) -> dict[str, str]:
    """The tests that cross their boundary at this look, each with its sentence; none for other models than language models."""
    tests, plan = trial.chat, trial.plan.chat
    if tests is None or plan is None:
        return {}
    return {**_comparisons(trial, tests, plan), **_limits(tests, plan), **_on_prompts(trial, tests.asked, plan)}


def _comparisons(trial: Figures, tests: ChatTests, plan: ChatPlan) -> dict[str, str]:
    found = {}
    if tests.tpot.crossed(plan.tpot_margin)[0]:
        found["token time"] = _tpot_harm(trial, tests, plan)
    if plan.finish_margin is not None and tests.finishes.crossed(plan.finish_margin)[0]:
        found["endings"] = _finish_harm(trial, tests, plan.finish_margin)
    if plan.length_margin is not None:
        for words, test in (("longer", tests.longer), ("shorter", tests.shorter)):
            if test.crossed(plan.length_margin)[0]:
                found["length"] = _length_harm(trial, words, math.exp(float(test.lower()[0])), plan.length_margin)
    return found


def _limits(tests: ChatTests, plan: ChatPlan) -> dict[str, str]:
    found = {}
    for name, test, most in (("TTFT limit", tests.ttft_limit, plan.max_ttft_ms), ("TPOT limit", tests.tpot_limit, plan.max_tpot_ms)):
        if test.crossed()[0]:
            figure = f"{int(test.bad[0])} of the canary's {int(test.requests[0])} streamed answers took longer than {most:g} ms"
            found[name] = f"{name}: {figure}, certainly more than the 5 % that a 95th percentile allows."
    return found


def _on_prompts(trial: Figures, asked: Asked, plan: ChatPlan) -> dict[str, str]:
    return {
        name: _bet_lost(name, asked, tally, margin, alpha)
        for name, (tally, margin, alpha) in _bets(trial, asked, plan).items()
        if margin is not None and bets.crossed(*tally, margin, alpha)
    }


def rules(trial: Figures, z: float) -> tuple[Rule, ...]:
    """One rule a test. What nobody streams or knows the answer of passes: nothing can be said of it, and the other rules hold."""
    tests, plan = trial.chat, trial.plan.chat
    if tests is None or plan is None:
        return ()
    return (
        _tpot_rule(trial, tests, plan, z),
        _finish_rule(trial, tests, plan, z),
        _length_rule(trial, plan),
        *_limit_rules(trial, plan),
        *_asked_rules(trial, tests.asked, plan),
    )


def point(trial: Figures, z: float) -> dict[str, Any]:
    """The figures of one look, cumulative: medians in milliseconds and tokens, shares, harm with its bounds."""
    tests = trial.chat
    if tests is None:
        return {}
    found: dict[str, Any] = {}
    for name, arm in (("stable", trial.stable.answers), ("canary", trial.canary.answers)):
        found |= {f"{name}_{key}_p50_ms": _quantile(part, 0.5) for key, part in (("ttft", arm.ttft), ("tpot", arm.tpot))}
        found |= {f"{name}_{key}_p95_ms": _quantile(part, 0.95) for key, part in (("ttft", arm.ttft), ("tpot", arm.tpot))}
        found[f"{name}_bad_ends"] = arm.bad / arm.ended if arm.ended else None
        found[f"{name}_tokens_p50"] = _quantile(arm.lengths, 0.5)
    compared = bool(tests.tpot.weight[0] > 0)
    found["tpot_harm"] = math.expm1(float(tests.tpot.estimate[0])) if compared else None
    found["tpot_harm_lower"] = _relative(float(tests.tpot.lower()[0]))
    found["tpot_harm_upper"] = _relative(float(tests.tpot.upper(z)[0]))
    asked = tests.asked
    found |= {"asked": asked.prompts, "known": asked.known}
    found["stable_right"] = (asked.right + asked.lost) / asked.known if asked.known else None
    found["canary_right"] = (asked.right + asked.gained) / asked.known if asked.known else None
    return found


def _tpot_rule(trial: Figures, tests: ChatTests, plan: ChatPlan, z: float) -> Rule:
    bar = f"rollback above {percent(plan.tpot_margin)}, promotion below {percent(plan.tpot_tolerance)}"
    ours, theirs = trial.canary.answers.tpot.n, trial.stable.answers.tpot.n
    if not ours and not theirs:
        return Rule("token time", True, "not measured", bar, "no answer was streamed, so that a token's time can't be told.")
    upper = _relative(float(tests.tpot.upper(z)[0]))
    passed = _decided(trial, "token time", upper is not None and upper < plan.tpot_tolerance)
    if upper is None:
        return Rule("token time", passed, "not comparable", bar, "the arms have no streamed answers in the same look.")
    detail = f"the canary may be {percent(upper)} slower, and only {percent(plan.tpot_tolerance)} are tolerated."
    if upper < plan.tpot_tolerance:
        detail = f"the canary's tokens are {at_most_slower(upper)}, under the tolerance of {percent(plan.tpot_tolerance)}."
    return Rule("token time", passed, at_most_slower(upper), bar, trial.alarms.get("token time") or detail)


def _finish_rule(trial: Figures, tests: ChatTests, plan: ChatPlan, z: float) -> Rule:
    if plan.finish_margin is None:
        return Rule("endings", True, _ends(trial), "only reported", f"{_ends(trial)}.")
    bar = f"rollback above {points(plan.finish_margin)}, promotion below {points(plan.finish_tolerance)}"
    if not tests.finishes.slope[0] > 0:
        ended = trial.canary.answers.ended + trial.stable.answers.ended
        words = "the arms have no answers in the same step." if ended else "no answer said how it ended."
        return Rule("endings", _decided(trial, "endings", not ended), "not comparable", bar, words)
    upper = float(tests.finishes.upper(z)[0])
    passed = _decided(trial, "endings", upper < plan.finish_tolerance)
    upper = max(upper, 0.0)
    detail = f"{_ends(trial)}: at most {points(upper)} more, and {points(plan.finish_tolerance)} are tolerated."
    return Rule("endings", passed, f"at most {points(upper)} more cut off or empty", bar, trial.alarms.get("endings") or detail)


def _length_rule(trial: Figures, plan: ChatPlan) -> Rule:
    margin = plan.length_margin
    bar = "only reported" if margin is None else f"within {1 + margin:.3g} times, either way"
    figure = _medians(trial, "lengths", "tokens")
    return Rule("length", _decided(trial, "length", True), figure, bar, trial.alarms.get("length") or f"median answers: {figure}.")


def _limit_rules(trial: Figures, plan: ChatPlan) -> list[Rule]:
    found = []
    arm = trial.canary.answers
    for name, seen, most in (("TTFT limit", arm.ttft, plan.max_ttft_ms), ("TPOT limit", arm.tpot, plan.max_tpot_ms)):
        if most is None:
            continue
        value = seen.quantile(0.95)
        passed = _decided(trial, name, value is None or value <= most)
        figure = "no streamed answer" if value is None else f"{value:.3g} ms"
        detail = trial.alarms.get(name) or f"the canary's 95th percentile: {figure}; the limit is {most:g} ms."
        found.append(Rule(name, passed, figure, f"at most {most:g} ms", detail))
    return found


def _asked_rules(trial: Figures, asked: Asked, plan: ChatPlan) -> list[Rule]:
    found = []
    for name, (tally, margin, _) in _bets(trial, asked, plan).items():
        bar = "only reported" if margin is None else f"rollback above {points(margin)}"
        figure = _figure(name, asked, tally)
        detail = trial.alarms.get(name) or f"{figure}."
        found.append(Rule(name, _decided(trial, name, True), figure, bar, detail))
    return found


def _bets(trial: Figures, asked: Asked, plan: ChatPlan) -> Mapping[str, tuple[Tally, float | None, float]]:
    """Name → outcomes, margin, alpha of the tests on prompts that both arms were asked."""
    alpha = trial.plan.alpha
    known = (asked.lost, asked.known - asked.lost - asked.gained, asked.gained)
    usable = (asked.fell, asked.prompts - asked.fell - asked.rose, asked.rose)
    alike = (asked.unlike, asked.prompts - asked.unlike, 0)
    return {
        "quality": (known, plan.quality_margin, alpha * CHAT.quality),
        "refusals": (usable, plan.refusal_margin, alpha * CHAT.refusals),
        "agreement": (alike, plan.agreement_margin, alpha * CHAT.agreement),
    }


def _figure(name: str, asked: Asked, tally: Tally) -> str:
    if not asked.prompts:
        return "no live prompt was asked of both"
    if name == "quality":
        if not asked.known:
            return f"none of {asked.prompts} live prompts has a right answer that is known"
        canary, stable = asked.right + asked.gained, asked.right + asked.lost
        return f"of {asked.known} live prompts asked of both, the canary got {canary} right and stable {stable}"
    if name == "refusals":
        return f"of {asked.prompts} live prompts, {tally[0]} got a usable answer of stable only, {tally[2]} of the canary only"
    return f"{asked.unlike} of {asked.prompts} live prompts were answered differently"


def _bet_lost(name: str, asked: Asked, tally: Tally, margin: float, alpha: float) -> str:
    lower = max(bets.lower(*tally, alpha), margin)
    said = f"{name}: {_figure(name, asked, tally)}: at least {points(lower)} worse, over the margin of {points(margin)}."
    examples = [_example(example) for example in asked.examples if example.reference or name != "quality"][:NAMED]
    return f"{said} {' '.join(examples)}".strip()


def _example(example: Example) -> str:
    wanted = f", right is {_short(example.reference)}" if example.reference and example.reference != example.stable else ""
    return f"{_short(example.prompt)}: canary {_short(example.canary)}, stable {_short(example.stable)}{wanted}."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line if len(line) <= SHOWN else line[: SHOWN - 1] + '…'}”"


def _tpot_harm(trial: Figures, tests: ChatTests, plan: ChatPlan) -> str:
    estimate, lower = (math.expm1(float(value[0])) for value in (tests.tpot.estimate, tests.tpot.lower()))
    return (
        f"token time: the canary is {slower(estimate)} a token (median {_medians(trial, 'tpot', 'ms')}), at least {slower(lower)}, over "
        f"the margin of {percent(plan.tpot_margin)}."
    )


def _finish_harm(trial: Figures, tests: ChatTests, margin: float) -> str:
    lower = max(float(tests.finishes.lower()[0]), margin)
    return f"endings: {_ends(trial)}: at least {points(lower)} more, over the margin of {points(margin)}."


def _length_harm(trial: Figures, words: str, factor: float, margin: float) -> str:
    return (
        f"length: the canary's answers are at least {factor:.3g} times {words} (median {_medians(trial, 'lengths', 'tokens')}), over the "
        f"margin of {1 + margin:.3g} times."
    )


def _ends(trial: Figures) -> str:
    return f"cut off or empty: canary {_share(trial.canary.answers)} against stable {_share(trial.stable.answers)}"


def _share(arm: Answers) -> str:
    return f"{percent(arm.bad / arm.ended)} ({arm.bad} of {arm.ended})" if arm.ended else "none ended"


def _medians(trial: Figures, part: str, unit: str) -> str:
    ours, theirs = (getattr(arm.answers, part).quantile(0.5) for arm in (trial.canary, trial.stable))
    words = [f"{value:.3g} {unit}" if value is not None else "unknown" for value in (ours, theirs)]
    return f"{words[0]} against {words[1]}"


def _decided(trial: Figures, name: str, ok: bool) -> bool | None:
    return False if name in trial.alarms else True if ok else None


def _quantile(values: Latencies, q: float) -> float | None:
    value = values.quantile(q)
    return None if value is None else round(value, 4)


def _relative(log_ratio: float) -> float | None:
    return math.expm1(min(log_ratio, 50.0)) if math.isfinite(log_ratio) else None
