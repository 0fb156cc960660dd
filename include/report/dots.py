"""Dots with whiskers: a figure and its confidence interval, the challenger's above the champion's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from include.gates.evaluation import Score
from include.report.scale import Scale, number, padded
from include.report.svg import drawing, element, fitting, line, text

WIDTH, LEFT, RIGHT = 440.0, 8.0, 8.0
ROW = 58.0


@dataclass(frozen=True)
class Row:
    """One metric or slice; ``champion`` None without one. ``bar`` is what it is held against."""

    label: str
    challenger: Score
    champion: Score | None = None
    bar: float | None = None


def dots(title: str, rows: Sequence[Row], *, shared: bool, description: str = "") -> Markup:
    """One row each; ``shared`` draws all on one scale, else every row has its own, written at its ends."""
    spans = [_span(_values(row)) for row in rows]
    if shared and spans:
        spans = [(min(low for low, _ in spans), max(high for _, high in spans))] * len(rows)
    parts = [part for index, row in enumerate(rows) for part in _row(row, 4 + index * ROW, *spans[index])]
    return drawing(title, WIDTH, 8 + ROW * len(rows), parts, description)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """With room at both ends, but not beyond what a share or a size can be."""
    low, high = padded(values)
    least, most = min(values, default=0.0), max(values, default=1.0)
    return (max(low, 0.0) if least >= 0 else low), (min(high, 1.0) if least >= 0 and most <= 1 else high)


def _values(row: Row) -> list[float]:
    found = [row.challenger.value, row.challenger.low, row.challenger.high, row.bar]
    if row.champion is not None:
        found += [row.champion.value, row.champion.low, row.champion.high]
    return [value for value in found if value is not None]


def _row(row: Row, top: float, low: float, high: float) -> list[Markup]:
    x = Scale(low, high, LEFT + 46, WIDTH - RIGHT - 46)
    axis = top + 36
    parts = [
        text(LEFT, top + 12, fitting(row.label, 200), class_="label strong"),
        text(WIDTH - RIGHT, top + 12, _words(row.challenger), "end"),
        line(x.start, axis, x.end, axis, "grid"),
        text(x.start - 5, axis + 4, number(low), "end", "label faint"),
        text(x.end + 5, axis + 4, number(high), class_="label faint"),
    ]
    if row.bar is not None:
        parts += [line(x(row.bar), axis - 15, x(row.bar), axis + 15, "level bar-level")]
    parts += _dot(row.challenger, x, axis - 7 if row.champion else axis, "canary", round_=True)
    if row.champion is not None:
        parts += _dot(row.champion, x, axis + 8, "stable", round_=False)
    return parts


def _words(score: Score) -> str:
    if score.low is None or score.high is None:
        return number(score.value)
    return f"{number(score.value)} [{number(score.low)}, {number(score.high)}]"


def _dot(score: Score, x: Scale, y: float, class_: str, *, round_: bool) -> list[Markup]:
    if score.value is None:
        return []
    parts = []
    if score.low is not None and score.high is not None:
        parts.append(line(x(score.low), y, x(score.high), y, f"whisker {class_}"))
    at = x(score.value)
    if round_:
        return [*parts, element("circle", cx=at, cy=y, r=4.5, class_=f"dot {class_}")]
    diamond = f"M{at:.1f},{y - 5.5:.1f}L{at + 5.5:.1f},{y:.1f}L{at:.1f},{y + 5.5:.1f}L{at - 5.5:.1f},{y:.1f}Z"
    return [*parts, element("path", d=diamond, class_=f"dot {class_}")]
