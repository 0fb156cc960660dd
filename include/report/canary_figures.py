"""The canary's figures: what the judge saw, look by look, with its bounds and the bars they were held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from include.report.bars import Column, columns, steps
from include.report.data import TrialCurves
from include.report.lines import Band, Chart, Line, chart
from include.report.scale import number, percent
from include.report.svg import Figure
from include.verdict import Decision, Verdict

ARMS = (("stable", "champion (stable)"), ("canary", "challenger (canary)"))
MOST_COLUMNS = 60
MOST_POINTS = 400
BOUNDS = (("canary band-key", "between the judge's bounds"),)
WORDS = {
    Decision.PROMOTE: ("promoted", "good"),
    Decision.ROLLBACK: ("rolled back", "bad"),
    Decision.INCONCLUSIVE: ("inconclusive", "warn"),
    Decision.ENDED_BY_HAND: ("ended by hand", "warn"),
}


def figures(trial: TrialCurves, verdict: Verdict | None) -> list[Figure]:
    """The step timeline first; then errors, latencies and requests. Empty without a look."""
    if not trial.series:
        return []
    series = thinned(trial.series)
    return [
        timeline(trial, verdict),
        _error_rates(trial, series),
        _error_harm(trial, series),
        _latencies(trial, series),
        _latency_harm(trial, series),
        *(_chat(trial, series) if trial.plan.get("chat") else ()),
        *(_answers(trial, series) if series[-1].get("differ") is not None else ()),
        _requests(trial.series),
    ]


def thinned(series: Sequence[Mapping[str, Any]], most: int = MOST_POINTS) -> list[Mapping[str, Any]]:
    """At most about ``most`` points, the first and the last among them."""
    every = max(1, -(-len(series) // most))
    kept = list(series[::every])
    return kept if kept[-1] is series[-1] else [*kept, series[-1]]


def timeline(trial: TrialCurves, verdict: Verdict | None) -> Figure:
    """Which share of the traffic the canary got when, and where the trial ended."""
    plan = [(float(trial.plan["step_s"]), int(weight)) for weight in trial.plan["steps"]]
    words, tone = WORDS.get(verdict.decision, ("still on trial", "open")) if verdict else ("no verdict", "open")
    title = "Mirrored traffic over time" if trial.mirrored else "The canary's share of traffic over time"
    passed = float(trial.series[-1]["at_s"])
    wide, narrow = (steps(title, width, plan, passed, words, tone) for width in (1000.0, 440.0))
    return Figure(title, wide, narrow, legend=(("bar canary", "traffic sent"), ("bar planned", "planned")))


def _steps(trial: TrialCurves) -> list[tuple[float, str]]:
    length, last = float(trial.plan["step_s"]), float(trial.series[-1]["at_s"])
    found = [(index * length, f"{weight} %") for index, weight in enumerate(trial.plan["steps"])]
    return [step for step in found if step[0] <= last]


def _line(series: Sequence[Mapping[str, Any]], key: str, class_: str) -> Line:
    return Line(class_, [(float(point["at_s"]), point.get(key)) for point in series])


def _legend(*more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (*((f"line {arm}", words) for arm, words in ARMS), *more)


def _error_rates(trial: TrialCurves, series: Sequence[Mapping[str, Any]]) -> Figure:
    limit, title = float(trial.plan["max_error_rate"]), "Cumulative error rate"
    last = series[-1]
    picture = chart(
        Chart(
            title,
            [_line(series, f"{arm}_error_rate", arm) for arm, _ in ARMS],
            levels=[(limit, f"limit {percent(limit)}", "level")],
            steps=_steps(trial),
            show=percent,
            from_zero=True,
            description=f"At the end: stable {percent(last.get('stable_error_rate'))}, canary {percent(last.get('canary_error_rate'))}.",
        )
    )
    return Figure(title, picture, legend=_legend())


def _harm(trial: TrialCurves, series: Sequence[Mapping[str, Any]], kind: str, title: str, note: str) -> Figure:
    """Estimate and bounds of one harm. The paper shows the bounds of the later half: the first looks' are as wide as ignorance."""
    margin, tolerance = float(trial.plan[f"{kind}_margin"]), float(trial.plan[f"{kind}_tolerance"])
    lower, upper = _line(series, f"{kind}_harm_lower", "canary"), _line(series, f"{kind}_harm_upper", "canary")
    levels = [
        (margin, f"rollback above {percent(margin)}", "level bad"),
        (tolerance, f"promotion below {percent(tolerance)}", "level good"),
    ]
    late = [*lower.points[len(series) // 2 :], *upper.points[len(series) // 2 :]]
    picture = chart(
        Chart(
            title,
            [_line(series, f"{kind}_harm", "canary")],
            bands=[Band("canary", lower.points, upper.points)],
            levels=levels,
            steps=_steps(trial),
            show=percent,
            extra=[value for _, value in late if value is not None],
            description=note,
        )
    )
    return Figure(title, picture, note=note, legend=(("line canary", "estimate"), *BOUNDS))


def _error_harm(trial: TrialCurves, series: Sequence[Mapping[str, Any]]) -> Figure:
    note = "Rolled back when the lower bound passes the margin; promoted when, at the end, the upper bound is under the tolerance."
    return _harm(trial, series, "error", "Harm in error rate, with the judge's bounds", note)


def _latency_harm(trial: TrialCurves, series: Sequence[Mapping[str, Any]]) -> Figure:
    return _harm(
        trial,
        series,
        "latency",
        "Harm in latency, with the judge's bounds",
        "How much slower the canary's answers are, relative to stable's.",
    )


def _latencies(trial: TrialCurves, series: Sequence[Mapping[str, Any]]) -> Figure:
    title, limit = "Latency: median and 99th percentile", trial.plan.get("max_p99_ms")
    picture = chart(
        Chart(
            title,
            [_line(series, f"{arm}_{quantile}_ms", f"{arm} {quantile}") for arm, _ in ARMS for quantile in ("p99", "p50")],
            levels=[(float(limit), f"limit of p99: {number(limit)} ms", "level")] if limit else [],
            steps=_steps(trial),
            show=lambda value: f"{number(value)} ms",
            positive=True,
            from_zero=True,
        )
    )
    legend = tuple((f"line {arm} {quantile}", f"{words.split()[0]} {quantile}") for arm, words in ARMS for quantile in ("p50", "p99"))
    return Figure(title, picture, legend=legend)


def _chat(trial: TrialCurves, series: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """What a language model's trial looks at besides; nothing of what was never seen."""
    last, plan = series[-1], trial.plan["chat"]
    found = []
    for name, key, limit in (("first token", "ttft", plan["max_ttft_ms"]), ("each further token", "tpot", plan["max_tpot_ms"])):
        if last.get(f"canary_{key}_p50_ms") is not None or last.get(f"stable_{key}_p50_ms") is not None:
            found.append(_token_times(trial, series, f"Time to the {name}" if key == "ttft" else f"Time of {name}", key, limit))
    if last.get("stable_bad_ends") is not None:
        found.append(_shares(trial, series, "Answers cut off or empty", "bad_ends"))
    if last.get("stable_right") is not None:
        found.append(_shares(trial, series, f"Right answers to {last['known']} live prompts asked of both", "right"))
    return found


def _answers(trial: TrialCurves, series: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """How many live rows the arms of a table's trial answered differently, beside what held-out rows allow."""
    last = series[-1]
    title, allowed = f"{last['compared']} live rows asked of both: answered differently", float(last["differ_allowed"])
    levels = [(allowed, f"rollback above {percent(allowed)}", "level bad")]
    picture = chart(Chart(title, [_line(series, "differ", "canary")], levels=levels, steps=_steps(trial), show=percent, from_zero=True))
    return [Figure(title, picture, legend=(("line canary", "canary unlike stable"),))]


def _token_times(trial: TrialCurves, series: Sequence[Mapping[str, Any]], title: str, key: str, limit: float | None) -> Figure:
    picture = chart(
        Chart(
            title,
            [_line(series, f"{arm}_{key}_{quantile}_ms", f"{arm} {'p99' if quantile == 'p95' else quantile}")
             for arm, _ in ARMS for quantile in ("p95", "p50")],
            levels=[(float(limit), f"limit of p95: {number(limit)} ms", "level")] if limit else [],
            steps=_steps(trial),
            show=lambda value: f"{number(value)} ms",
            positive=True,
            from_zero=True,
        )
    )  # fmt: skip
    legend = tuple(
        (f"line {arm} {look}", f"{words.split()[0]} {name}") for arm, words in ARMS for look, name in (("p50", "p50"), ("p99", "p95"))
    )
    return Figure(f"{title}: median and 95th percentile", picture, legend=legend)


def _shares(trial: TrialCurves, series: Sequence[Mapping[str, Any]], title: str, key: str) -> Figure:
    lines = [_line(series, f"{arm}_{key}", arm) for arm, _ in ARMS]
    picture = chart(Chart(title, lines, steps=_steps(trial), show=percent, from_zero=True))
    return Figure(title, picture, legend=_legend())


def _requests(series: Sequence[Mapping[str, Any]]) -> Figure:
    title = "Requests per look"
    every = max(1, -(-len(series) // MOST_COLUMNS))
    ends = [series[0], *series[every - 1 :: every]] if every > 1 else list(series)
    nothing = {f"{arm}_requests": 0 for arm, _ in ARMS}
    rows = []
    for before, after in pairwise([nothing, *ends]):
        parts = [(float(after[f"{arm}_requests"]) - float(before[f"{arm}_requests"]), arm) for arm, _ in ARMS]
        rows.append(Column(number(round(float(after["at_s"]))), parts))
    note = "" if every == 1 else f"Each column holds {every} looks."
    picture = columns(title, rows, "seconds since the trial's start")
    return Figure(title, picture, note=note, legend=tuple((f"bar {arm}", words) for arm, words in ARMS))
