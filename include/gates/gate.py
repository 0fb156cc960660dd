"""The offline gate: does this version deserve a trial in production? Pure: an evaluation and the spec's rules in, a verdict out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from include.gates.evaluation import Champion, Comparison, Evaluation, Score, Slice
from include.gates.judgement import Judgement
from include.numerals import significant
from include.spec.schema import Bar, Gate, Task
from include.verdict import Decision, Rule, Verdict


def gate(evaluation: Evaluation, rules: Gate, judgement: Judgement | None = None) -> Verdict:
    """PASS when no rule fails. A missing or NaN figure fails its rule.

    A comparison that could not be made because the champion needs columns that are gone is left undecided (``passed`` None) and named in
    the reasons: it fails nobody, or no model could ever change its features; the absolute bars and the canary still decide. So is the
    opinion of a judge that is not trusted.
    """
    least = _min_score(evaluation, rules)
    judged = [
        least,
        *(_bar(evaluation, bar) for bar in rules.bars),
        *_api(evaluation, rules),
        _champion(evaluation, rules),
        *_slices(evaluation, rules),
        *([_judge(judgement, rules)] if judgement else []),
    ]
    failed = [rule for rule in judged if rule.passed is False]
    undecided = [rule for rule in judged if rule.passed is None]
    reasons = [_reason("failed", rule) for rule in failed] or [f"All {len(judged) - len(undecided)} decided rules passed."]
    reasons += [_reason("undecided", rule) for rule in undecided]
    if least.passed is False and evaluation.champion is None:
        reasons.append("What a first version must reach is yours to say, by `gate.min_score` and `gate.metric`.")
    decision = Decision.FAIL if failed else Decision.PASS
    # What only the report shows lies with the run's artifacts.
    evidence = {"evaluation": replace(evaluation, charts={}).to_json(), "rules": rules.model_dump(mode="json")}
    evidence |= {"judgement": judgement.figures().to_json()} if judgement else {}
    return Verdict(decision, tuple(reasons), tuple(judged), evidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    adjusted, floor = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = floor
    return adjusted


def _reason(word: str, rule: Rule) -> str:
    return f"{rule.name} {word}: {rule.figure}, bar {'; '.join(filter(None, (rule.bar, rule.detail)))}."


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _figure(score: Score | None) -> str:
    if score is None or score.value is None or math.isnan(score.value):
        return "no figure"
    interval = "" if score.low is None or score.high is None else f" [{significant(score.low)}, {significant(score.high)}]"
    return f"{significant(score.value)}{interval}"


def _min_score(evaluation: Evaluation, rules: Gate) -> Rule:
    score = evaluation.scores.get(evaluation.metric)
    value = _number(score.value) if score else None
    return Rule(
        name=f"minimum {evaluation.metric}",
        passed=value is not None and value >= rules.min_score,
        figure=_figure(score),
        bar=f"at least {rules.min_score:g} (gate.min_score)",
        detail=f"{evaluation.rows} held-out rows" + (f"; {evaluation.metric_note}" if evaluation.metric_note else ""),
    )


def _api(evaluation: Evaluation, rules: Gate) -> list[Rule]:
    """Whether the champion's callers can go on as they do; nothing to say of a language model, whose API is always OpenAI's. What only the
    export tells is compared in `verify`, by the same rules."""
    if evaluation.champion is None or evaluation.task == Task.CHAT:
        return []
    name, changes = "same API as champion, before the export", evaluation.api_changes
    if not changes:
        return [Rule(name, True, "the same", "no change", "verify compares the export too")]
    figure, detail = f"{len(changes)} changes", "; ".join(changes)
    if rules.allow_api_change:
        return [Rule(name, True, figure, "allowed by gate.allow_api_change", detail)]
    remedy = "Keep the columns that callers send (`data.features`, `data.exclude`); if they know of it, set `gate.allow_api_change: true`"
    return [Rule(name, False, figure, "no change", f"{detail}. {remedy}")]


def _bar(evaluation: Evaluation, bar: Bar) -> Rule:
    score = evaluation.scores.get(bar.metric)
    value = _number(score.value) if score else None
    low, high = bar.min, bar.max
    passed = value is not None and (low is None or value >= low) and (high is None or value <= high)
    limits = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
    known = "" if score else f"the evaluation has {', '.join(evaluation.scores)}"
    wanted = " and ".join(filter(None, limits)) or "a figure"
    return Rule(f"bar on {bar.metric}", passed, _figure(score), f"{wanted} (gate.bars)", known)


def _champion(evaluation: Evaluation, rules: Gate) -> Rule:
    name, champion = "not worse than champion", evaluation.champion
    bar = _no_worse(rules, rules.max_regression, "gate.max_regression")
    if champion is None:
        return Rule(name, True, "first version", bar, "there is no champion to compare with")
    if champion.not_comparable:
        return Rule(name, None, "not comparable", bar, champion.not_comparable)
    comparison = champion.comparison
    if comparison is None or _p(comparison) is None:
        return Rule(name, False, "no figure", bar, "the comparison has no p-value")
    p = _p(comparison)
    return Rule(name, p is not None and p > 1 - rules.confidence, _difference(comparison), bar, _against(champion, comparison))


def _no_worse(rules: Gate, margin: float, field: str) -> str:
    return f"p ≥ {1 - rules.confidence:.3g} for worse" + (f" by more than {margin:g}" if margin else "") + f" ({field}, gate.confidence)"


def _judge(found: Judgement, rules: Gate) -> Rule:
    name, by = "judge: not worse than champion", f"{found.judge}, {found.agreement.figure}"
    bar = _no_worse(rules, found.margin, "evaluate.judge.margin")
    if found.doubt:
        return Rule(
            "judge",
            None,
            "not trusted",
            f"kappa surely at least {found.min_kappa:g} (evaluate.judge.min_kappa)",
            f"{found.doubt}; its marks count for nothing",
        )
    if found.champion is None:
        return Rule(name, True, "first version", bar, f"mean mark {_figure(found.score)}; {by}")
    if found.not_comparable:
        return Rule(name, None, "not comparable", bar, found.not_comparable)
    comparison = found.comparison
    if comparison is None or _p(comparison) is None:
        return Rule(name, False, "no figure", bar, f"{found.unmarked} of {found.prompts} prompts lack a mark; {by}")
    p, theirs = _p(comparison), _figure(found.champion_score)
    detail = f"mean mark of champion {found.champion} on the same {comparison.rows} prompts: {theirs}; {comparison.method}; {by}"
    return Rule(name, p is not None and p > 1 - rules.confidence, _difference(comparison), bar, detail)


def _p(comparison: Comparison | None) -> float | None:
    return _number(comparison.p_worse) if comparison else None


def _difference(comparison: Comparison) -> str:
    return f"{comparison.figure}, p = {comparison.p_worse:.3g}"


def _against(champion: Champion, comparison: Comparison) -> str:
    theirs = _figure(champion.scores.get(comparison.metric))
    return f"{comparison.metric} of champion {champion.version} on the same {comparison.rows} rows: {theirs}; {comparison.method}"


def _slices(evaluation: Evaluation, rules: Gate) -> list[Rule]:
    if not evaluation.slices:
        return []
    judged = [part for part in evaluation.slices if part.rows >= rules.min_slice_rows and _p(part.comparison) is not None]
    adjusted = dict(zip(map(id, judged), holm([_p(part.comparison) or 0.0 for part in judged]), strict=True))
    return [_slice(part, adjusted.get(id(part)), evaluation.champion, rules) for part in evaluation.slices]


def _slice(part: Slice, p: float | None, champion: Champion | None, rules: Gate) -> Rule:
    name, bar = (
        f"slice {part.column} = {part.value}",
        f"Holm-adjusted p ≥ {1 - rules.confidence:.3g} for worse than champion (gate.slices, gate.confidence)",
    )
    figure = f"{_figure(part.score)} on {part.rows} rows"
    if part.rows < rules.min_slice_rows:
        return Rule(name, True, figure, "shown, not judged", f"fewer than {rules.min_slice_rows} rows")
    if champion is None:
        return Rule(name, True, figure, bar, "first version")
    if champion.not_comparable:
        return Rule(name, None, figure, bar, champion.not_comparable)
    if p is None or part.comparison is None:
        return Rule(name, False, figure, bar, "the comparison has no p-value")
    return Rule(name, p > 1 - rules.confidence, figure, bar, f"against the champion {_difference(part.comparison)}, adjusted {p:.3g}")
