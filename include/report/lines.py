"""Curves over time: lines, the band of a bound, the bars they are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from zlib import crc32

from markupsafe import Markup

from include.report.scale import Scale, number, padded
from include.report.svg import CHAR_PX, drawing, element, line, rect, text

WIDTH, HEIGHT = 440.0, 250.0
TOP, RIGHT, BOTTOM = 16.0, 12.0, 38.0
LOG_RATIO = 8.0
"""A positive quantity that spans more than this is drawn on a logarithmic scale."""

Point = tuple[float, float | None]


@dataclass(frozen=True)
class Line:
    """One curve; ``class_`` says how it looks. A point without a value breaks it."""

    class_: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Band:
    """The room between two bounds; a missing bound reaches to the edge of the paper."""

    class_: str
    lower: Sequence[Point]
    upper: Sequence[Point]


@dataclass(frozen=True)
class Chart:
    """What to draw. ``levels`` are horizontal bars (value, words, class), ``steps`` vertical ones (time, words)."""

    title: str
    lines: Sequence[Line]
    bands: Sequence[Band] = ()
    levels: Sequence[tuple[float, str, str]] = ()
    steps: Sequence[tuple[float, str]] = ()
    show: Callable[[float], str] = number
    from_zero: bool = False
    positive: bool = False
    description: str = ""
    until: float | None = None
    x_label: str = "seconds since the trial's start"
    extra: Sequence[float] = field(default=())


def chart(spec: Chart) -> Markup:
    """The picture, 440 px wide."""
    values = [y for one in spec.lines for _, y in one.points if y is not None]
    y = _y_scale(spec, values)
    left = 12 + CHAR_PX * max(len(spec.show(tick)) for tick in y.ticks())
    last = max((x for one in spec.lines for x, _ in one.points), default=1.0)
    x = Scale(0, max(spec.until or 0, last, 1e-9), left, WIDTH - RIGHT)
    clip = f"clip-{crc32(f'{spec.title} {values}'.encode()):x}"
    area = element("clipPath", rect(left, TOP, WIDTH - RIGHT - left, HEIGHT - TOP - BOTTOM, ""), id=clip)
    drawn = [*(_band(band, x, y) for band in spec.bands), *_levels(spec, x, y), *(path for one in spec.lines for path in _line(one, x, y))]
    inside = element("g", *drawn, clip_path=f"url(#{clip})")
    return drawing(spec.title, WIDTH, HEIGHT, [element("defs", area), *_axes(spec, x, y), inside, *_labels(spec, y)], spec.description)


def _y_scale(spec: Chart, values: list[float]) -> Scale:
    bars = [value for value, _, _ in spec.levels]
    everything = [*values, *bars, *spec.extra]
    floor, ceiling = HEIGHT - BOTTOM, TOP
    if spec.positive and values and min(values) > 0 and max(everything) / min(values) > LOG_RATIO:
        return Scale(min(everything) / 1.3, max(everything) * 1.3, floor, ceiling, log=True)
    low, high = padded(everything)
    return Scale(min([0.0, *everything]) if spec.from_zero else low, high, floor, ceiling)


def _axes(spec: Chart, x: Scale, y: Scale) -> list[Markup]:
    parts = []
    for tick in y.ticks():
        parts += [line(x.start, y(tick), x.end, y(tick), "grid"), text(x.start - 6, y(tick) + 4, spec.show(tick), "end")]
    for tick in x.ticks(6):
        parts.append(text(x(tick), HEIGHT - BOTTOM + 16, number(tick), "middle"))
    for at, words in spec.steps:
        parts += [line(x(at), TOP, x(at), HEIGHT - BOTTOM, "step"), text(x(at) + 3, TOP - 5, words, class_="label faint")]
    parts.append(line(x.start, y.start, x.end, y.start, "axis"))
    parts.append(text((x.start + x.end) / 2, HEIGHT - 6, spec.x_label, "middle", "label faint"))
    return parts


def _levels(spec: Chart, x: Scale, y: Scale) -> list[Markup]:
    return [line(x.start, y(value), x.end, y(value), class_) for value, _, class_ in spec.levels]


def _labels(spec: Chart, y: Scale) -> list[Markup]:
    """The levels' words, one above its line; the lower of two that would touch goes below its own."""
    parts: list[Markup] = []
    taken: list[float] = []
    for value, words, _ in sorted(spec.levels, key=lambda level: -level[0]):
        place = y(value) - 4
        if any(abs(place - other) < 13 for other in taken):
            place = y(value) + 13
        taken.append(place)
        parts.append(text(WIDTH - RIGHT - 3, place, words, "end", "label over"))
    return parts


def _line(one: Line, x: Scale, y: Scale) -> list[Markup]:
    runs = _runs(one.points)
    paths = [element("path", d=_path(run, x, y), class_=f"line {one.class_}") for run in runs if len(run) > 1]
    # A single look, and the latest one, are worth a dot: a line alone would not show them.
    dots = [run[-1] for run in runs]
    return paths + [element("circle", cx=x(at), cy=y(value), r=3.0, class_=f"dot {one.class_}") for at, value in dots]


def _runs(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((at, value))
    return [run for run in runs if run]


def _path(run: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return "M" + "L".join(f"{x(at):.1f},{y(value):.1f}" for at, value in run)


def _band(band: Band, x: Scale, y: Scale) -> Markup:
    if len(band.upper) == 1:  # one look: a stroke of the band is better than none
        band = Band(band.class_, _widened(band.lower, x), _widened(band.upper, x))
    corners = []
    for (before, after), (under, over) in zip(pairwise(band.upper), pairwise(band.lower), strict=True):
        tops, bottoms = (_edge(before, y.end, y), _edge(after, y.end, y)), (_edge(under, y.start, y), _edge(over, y.start, y))
        a, b = x(before[0]), x(after[0])
        corners.append(f"M{a:.1f},{tops[0]:.1f}L{b:.1f},{tops[1]:.1f}L{b:.1f},{bottoms[1]:.1f}L{a:.1f},{bottoms[0]:.1f}Z")
    return element("path", d="".join(corners) or None, class_=f"band {band.class_}")


def _widened(points: Sequence[Point], x: Scale) -> list[Point]:
    at, value = points[0]
    part = (x.high - x.low) / 60
    return [(at - part, value), (at + part, value)]


def _edge(point: Point, edge: float, y: Scale) -> float:
    return edge if point[1] is None else y(point[1])
