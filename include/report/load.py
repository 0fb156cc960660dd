"""The load test in the report: each rate's figures, beside the champion's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from include.load_test.figures import AtRate, LoadFigures
from include.report.lines import Chart, Line, chart
from include.report.svg import Figure
from include.verdict import Verdict

OURS, THEIRS = ("line canary", "this version"), ("line stable", "champion")


def rows(verdict: Verdict | None) -> list[tuple[str, AtRate]]:
    """Whose figures, and the figures, rate by rate."""
    ours, theirs = _both(verdict)
    named = (("this version", ours), ("champion", theirs))
    return [(who, one) for who, found in named if found for one in found.rates]


def figures(verdict: Verdict | None) -> list[Figure]:
    """First token, time per token and throughput by rate."""
    ours, theirs = _both(verdict)
    if ours is None:
        return []
    limits = ours.slo
    return [
        _figure("Time to the first token by rate, p99 (ms)", ours, theirs, lambda one: one.ttft_ms["p99"], limits.get("ttft_ms")),
        _figure("Time per token by rate, p99 (ms)", ours, theirs, lambda one: one.tpot_ms["p99"], limits.get("tpot_ms")),
        _figure("Tokens a second by rate", ours, theirs, lambda one: one.tokens_per_s, None),
    ]


def _figure(
    title: str, ours: LoadFigures, theirs: LoadFigures | None, figure: Callable[[AtRate], float | None], limit: float | None
) -> Figure:
    lines = [Line("canary", _points(ours.rates, figure)), *([Line("stable", _points(theirs.rates, figure))] if theirs else [])]
    levels = [(limit, f"SLO: {limit:g} ms", "level")] if limit else []
    picture = chart(Chart(title, lines, levels=levels, positive=limit is not None, from_zero=limit is None, x_label="requests a second"))
    return Figure(title, picture, legend=(OURS, *((THEIRS,) if theirs else ())))


def _points(rates: Sequence[AtRate], figure: Callable[[AtRate], float | None]) -> list[tuple[float, float | None]]:
    return [(one.rate, figure(one)) for one in rates]


def _both(verdict: Verdict | None) -> tuple[LoadFigures | None, LoadFigures | None]:
    if verdict is None:
        return None, None
    theirs = verdict.evidence.get("champion")
    return LoadFigures.from_json(verdict.evidence["load_test"]), LoadFigures.from_json(theirs) if theirs else None
