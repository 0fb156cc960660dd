"""Bars: distributions, requests a look, speed-ups, the share of traffic by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from include.report.scale import Scale, number
from include.report.svg import CHAR_PX, drawing, element, fitting, line, rect, text

WIDTH, HEIGHT = 440.0, 230.0
TOP, RIGHT, BOTTOM = 14.0, 12.0, 38.0
ROW = 44.0
MOST_LABELS = 12


@dataclass(frozen=True)
class Column:
    """A column of stacked parts (height, class); ``label`` stands under it."""

    label: str
    parts: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Bar:
    """A lying bar with its interval; ``class_`` colours it, ``words`` are its value in print."""

    label: str
    value: float
    low: float
    high: float
    words: str
    class_: str = "plain"


def columns(title: str, rows: Sequence[Column], x_label: str, y_label: str = "", description: str = "") -> Markup:
    """Standing columns from 0 up."""
    highest = max((sum(height for height, _ in row.parts) for row in rows), default=0) or 1
    y = Scale(0, highest * 1.08, HEIGHT - BOTTOM, TOP)
    left = 12 + CHAR_PX * max(len(number(tick)) for tick in y.ticks(4))
    room = (WIDTH - RIGHT - left) / max(len(rows), 1)
    every = max(
        1, -(-len(rows) // MOST_LABELS), -(-int(CHAR_PX * max((len(row.label) for row in rows), default=1) + 4) // max(int(room), 1))
    )
    parts = [part for tick in y.ticks(4) for part in (line(left, y(tick), WIDTH - RIGHT, y(tick), "grid"), _tick(left, y, tick))]
    for index, row in enumerate(rows):
        x, base = left + index * room, 0.0
        for height, class_ in row.parts:
            parts.append(rect(x + room * 0.1, y(base + height), room * 0.8, y(base) - y(base + height), f"bar {class_}"))
            base += height
        if index % every == 0:
            parts.append(text(x + room / 2, HEIGHT - BOTTOM + 16, row.label, "middle"))
    parts += [line(left, y(0), WIDTH - RIGHT, y(0), "axis"), text((left + WIDTH) / 2, HEIGHT - 6, x_label, "middle", "label faint")]
    if y_label:
        parts.append(text(left, TOP - 3, y_label, class_="label faint"))
    return drawing(title, WIDTH, HEIGHT, parts, description)


def _tick(left: float, y: Scale, tick: float) -> Markup:
    return text(left - 6, y(tick) + 4, number(tick), "end")


def bars(title: str, rows: Sequence[Bar], mark: float, mark_words: str, description: str = "") -> Markup:
    """Lying bars from 0 on, and a line at ``mark`` to hold them against."""
    height = TOP + 8 + ROW * len(rows) + 24
    x = Scale(0, max([mark, *(row.high for row in rows)]) * 1.12, 8, WIDTH - RIGHT)
    parts = []
    for index, row in enumerate(rows):
        top = TOP + 8 + index * ROW
        middle = top + 27
        parts += [
            text(8, top + 12, fitting(row.label, WIDTH - 150)),
            text(WIDTH - RIGHT, top + 12, row.words, "end", "label strong"),
            rect(8, top + 19, x(row.value) - 8, 16, f"bar {row.class_}", rx=2),
            line(x(row.low), middle, x(row.high), middle, "whisker over-bar"),
            line(x(row.low), middle - 4, x(row.low), middle + 4, "whisker over-bar"),
            line(x(row.high), middle - 4, x(row.high), middle + 4, "whisker over-bar"),
        ]
    parts += [
        line(x(mark), TOP + 4, x(mark), height - 20, "level bar-level"),
        text(x(mark), height - 6, mark_words, "middle", "label faint"),
    ]
    return drawing(title, WIDTH, height, parts, description)


def steps(title: str, width: float, plan: Sequence[tuple[float, int]], passed_s: float, end: str, tone: str) -> Markup:
    """The canary's share of traffic over time: ``plan`` holds each step's length (seconds) and percent; what passed is filled."""
    height, base, whole = 120.0, 92.0, sum(length for length, _ in plan)
    x = Scale(0, whole, 8, width - 12)
    y = Scale(0, max(weight for _, weight in plan) * 1.05, base, 22)
    parts, at = [], 0.0
    for length, weight in plan:
        parts.append(rect(x(at), y(weight), x(at + length) - x(at), base - y(weight), "bar planned"))
        if passed_s > at:
            until = min(at + length, passed_s)
            parts.append(rect(x(at), y(weight), x(until) - x(at), base - y(weight), "bar canary"))
        parts.append(text((x(at) + x(at + length)) / 2, y(weight) - 5, f"{weight} %", "middle", "label strong over"))
        parts.append(text(x(at), base + 16, number(at), "start" if at == 0 else "middle"))
        at += length
    parts += [text(x(whole), base + 16, f"{number(whole)} s", "end"), line(8, base, width - 12, base, "axis")]
    stop = min(passed_s, whole)
    near_end = x(stop) + len(end) * CHAR_PX + 12 > width
    parts += [
        line(x(stop), 10, x(stop), base + 4, f"stop {tone}"),
        element("circle", cx=x(stop), cy=10.0, r=4.0, class_=f"stop-dot {tone}"),
        text(x(stop) + (-8 if near_end else 8), 14, end, "end" if near_end else "start", "label strong"),
    ]
    return drawing(title, width, height, parts, f"{end} after {number(passed_s)} of {number(whole)} seconds")
