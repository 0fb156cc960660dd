"""Pictures of a model's answers beside the truth: confusion matrix, predicted against actual."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from include.report.scale import Scale, number, padded
from include.report.svg import CHAR_PX, drawing, element, fitting, line, rect, text

WIDTH = 440.0
MOST_NUMBERED = 16
"""A confusion matrix of more classes is drawn without numbers."""


def confusion(title: str, labels: Sequence[str], counts: Sequence[Sequence[int]], sides: tuple[str, str] = ("truth", "answer")) -> Markup:
    """Rows are the truth, columns the answers (``sides`` names them); there may be fewer rows than labels.

    Each cell's shade is its share of the row; right answers and wrong ones differ in colour.
    """
    left = 26 + min(CHAR_PX * max(len(label) for label in labels), 84)
    cell = (WIDTH - left - 8) / len(labels)
    tall = min(cell, 46)
    top, height = 42.0, 50 + tall * len(counts)
    numbered = len(labels) <= MOST_NUMBERED
    parts = [text((left + WIDTH) / 2, 13, sides[1], "middle", "label faint"), text(6, 13, sides[0], class_="label faint")]
    for column, label in enumerate(labels if numbered else ()):
        parts.append(text(left + (column + 0.5) * cell, top - 8, fitting(label, cell), "middle"))
    for row, label in enumerate(labels[: len(counts)]):
        total = sum(counts[row]) or 1
        y = top + row * tall
        if numbered:
            parts.append(text(left - 6, y + tall / 2 + 4, fitting(label, left - 24), "end"))
        for column, count in enumerate(counts[row]):
            class_ = "right" if row == column else "wrong"
            # A lone mistake in a thousand must still be seen.
            share = max(count / total, 0.15) if count else 0.0
            parts.append(rect(left + column * cell + 1, y + 1, cell - 2, tall - 2, f"cell {class_}", fill_opacity=round(share, 3), rx=2))
            if numbered:
                shown = f"{count}" if count else "·"
                inked = "label on-fill" if share > 0.55 else "label" if count else "label faint"
                parts.append(text(left + (column + 0.5) * cell, y + tall / 2 + 4, shown, "middle", inked))
    what = f"rows are the {sides[0]}, columns the {'model' if sides[1] == 'answer' else sides[1]}'s answer"
    return drawing(title, WIDTH, height, parts, what)


def against_actual(title: str, points: Sequence[Sequence[float]]) -> Markup:
    """Each held-out row's answer over its truth; right answers lie on the diagonal."""
    height = 340.0
    low, high = padded([value for point in points for value in point], 0.04)
    y = Scale(low, high, height - 38, 12)
    left = 12 + CHAR_PX * max(len(number(tick)) for tick in y.ticks())
    x = Scale(low, high, left, WIDTH - 12)
    parts = []
    for tick in y.ticks():
        parts += [line(left, y(tick), WIDTH - 12, y(tick), "grid"), text(left - 6, y(tick) + 4, number(tick), "end")]
        parts += [text(x(tick), height - 22, number(tick), "middle")]
    parts += [line(x(low), y(low), x(high), y(high), "level diagonal")]
    parts += [element("circle", cx=x(actual), cy=y(predicted), r=3.0, class_="dot cloud canary") for actual, predicted in points]
    parts += [
        text((left + WIDTH) / 2, height - 5, "actual", "middle", "label faint"),
        text(left + 4, 22, "predicted", class_="label faint"),
    ]
    return drawing(title, WIDTH, height, parts, f"{len(points)} held-out rows")
