"""The figures of a report's other parts: data, evaluation, optimisation, timings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from include.gates.evaluation import Evaluation, Score
from include.gates.judgement import Agreement
from include.report.answers import against_actual, confusion
from include.report.bars import Bar, Column, bars, columns
from include.report.dots import Row, dots
from include.report.gantt import Timings, gantt
from include.report.lines import Chart, Line, chart
from include.report.scale import number
from include.report.svg import Figure

BESIDE = (("dot canary", "this version"), ("dot stable diamond", "champion"))
MOST_SLICES = 40


def target(profile: Mapping[str, Any]) -> Figure | None:
    """How the target's values are distributed."""
    found = profile.get("target") or {}
    rows = found.get("distribution") or []
    if not rows:
        return None
    title = f"Distribution of {found.get('name', 'the target')}"
    labels = [str(row["value"]) if "value" in row else f"{number(row['from'])}–{number(row['to'])}" for row in rows]
    picture = columns(
        title, [Column(label, [(row["rows"], "plain")]) for label, row in zip(labels, rows, strict=True)], str(found.get("name", ""))
    )
    return Figure(title, picture, note="Rows by value of the target.")


def learning(curves: Mapping[str, Sequence[tuple[int, float]]]) -> list[Figure]:
    """A metric of the training by step, each as one curve."""
    found = []
    for name, points in curves.items():
        if len(points) > 1:
            title = f"{name.replace('_', ' ').capitalize()} by step"
            picture = chart(Chart(title, [Line("canary", points)], positive=True, x_label="optimiser step"))
            found.append(Figure(title, picture))
    return found


def metrics(evaluation: Evaluation, min_score: float | None) -> Figure:
    """Every metric with its interval, beside the champion's."""
    theirs = evaluation.champion.scores if evaluation.champion else {}
    bars_of = {} if min_score is None else {evaluation.metric: min_score}
    rows = [Row(name, score, theirs.get(name), bars_of.get(name)) for name, score in evaluation.scores.items()]
    title = f"Metrics on {evaluation.rows} held-out rows, with {100 * evaluation.confidence:g} % intervals"
    beside = BESIDE if theirs else BESIDE[:1]
    legend = (*beside, ("level bar-level", "bar of the gate")) if bars_of else beside
    return Figure(title, dots(title, rows, shared=False), note="Each metric has its own scale, written at its ends.", legend=legend)


def slices(evaluation: Evaluation) -> Figure | None:
    """The score by slice, all on one scale."""
    if not evaluation.slices:
        return None
    whole = Row("all rows", *_both(evaluation))
    shown = evaluation.slices[:MOST_SLICES]
    rows = [whole, *(Row(f"{part.column} = {part.value} ({part.rows} rows)", part.score, part.champion) for part in shown)]
    title, more = f"{evaluation.metric} by slice", len(evaluation.slices) - len(shown)
    compared = evaluation.champion is not None and bool(evaluation.champion.scores)
    note = f"{more} more slices are in the gate's table." if more else ""
    return Figure(title, dots(title, rows, shared=True), note=note, legend=BESIDE if compared else BESIDE[:1])


def _both(evaluation: Evaluation) -> tuple[Score, Score | None]:
    own = evaluation.scores.get(evaluation.metric, Score(None))
    return own, evaluation.champion.scores.get(evaluation.metric) if evaluation.champion else None


def answers(evaluation: Evaluation) -> list[Figure]:
    """Confusion matrix of a classifier; predicted against actual and residuals of a regression."""
    charts, found = evaluation.charts, []
    if matrix := charts.get("confusion"):
        title = "Confusion matrix"
        picture = confusion(title, [str(label) for label in matrix["labels"]], matrix["rows_true_columns_predicted"])
        found.append(Figure(title, picture, note="Held-out rows; the shade is a cell's share of its row."))
    if points := charts.get("predicted_vs_actual"):
        title = "Predicted against actual"
        found.append(Figure(title, against_actual(title, points), note="A right answer lies on the diagonal."))
    if residuals := charts.get("residuals"):
        title, edges = "Residuals (predicted minus actual)", residuals["edges"]
        middles = [number((low + high) / 2) for low, high in pairwise(edges)]
        rows = [Column(label, [(count, "plain")]) for label, count in zip(middles, residuals["counts"], strict=True)]
        found.append(Figure(title, columns(title, rows, "residual (middle of the bin)"), note="Held-out rows by residual."))
    return found


def agreement(found: Agreement) -> Figure:
    """The judge's marks beside people's; a column for answers that it gave no mark."""
    unmarked = bool(found.unmarked)
    names = [*found.scale, "no mark"] if unmarked else list(found.scale)
    counts = [list(row) if unmarked else list(row[:-1]) for row in found.counts]
    title = "The judge's marks beside people's"
    told = ("people", "judge")
    return Figure(title, confusion(title, names, counts, told), note=f"{found.labels} labelled answers; {found.kappa.method}.")


def speedups(optimization: Mapping[str, Any]) -> Figure | None:
    """How much faster than the plain export each form is, with its interval."""
    rows = []
    for candidate in optimization.get("candidates", ()):
        if candidate.get("speedup"):
            middle, low, high = candidate["speedup"]
            served = candidate["name"] == optimization.get("chosen")
            label = f"{candidate['name']} (served)" if served else candidate["name"]
            rows.append(Bar(label, middle, low, high, f"{middle:.2f} × [{low:.2f}, {high:.2f}]", "good" if served else "plain"))
    talks = any("tokens_per_s" in candidate for candidate in optimization.get("candidates", ()))
    title = "Speed beside 16 bits" if talks else "Speed beside the plain export"
    return Figure(title, bars(title, rows, 1.0, "as fast")) if rows else None


def times(found: Timings) -> Figure | None:
    """The run's tasks over time."""
    if not found.spans:
        return None
    title = "The run's tasks over time"
    legend = (("bar task", "running (or deferred)"), ("bar waited", "scheduled and queued"), ("bar bad", "failed"))
    return Figure(title, gantt(title, found, 1000.0), gantt(title, found, 440.0), legend=legend)
