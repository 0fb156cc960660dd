"""Drawing with SVG elements. Colours and fonts come from the page's style sheet, by class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from markupsafe import Markup, escape

CHAR_PX = 6.4
"""Width of a character of the charts' 12 px font, near enough to place labels by."""


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """``element("line", x1=0, class_="rule")``: text is escaped, underscores become hyphens, None leaves an attribute out."""
    parts = [Markup(' {}="{}"').format(_name(key), _value(value)) for key, value in attributes.items() if value is not None]
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup("").join(parts), inner)


def drawing(title: str, width: float, height: float, parts: Iterable[Markup], description: str = "") -> Markup:
    """A whole picture that scales with its place; ``title`` and ``description`` are what a screen reader says."""
    about = [element("title", title), *([element("desc", description)] if description else [])]
    box = f"0 0 {width:g} {height:g}"
    return element("svg", *about, *parts, viewBox=box, role="img", class_="chart", xmlns="http://www.w3.org/2000/svg")


def text(x: float, y: float, words: str, anchor: str = "start", class_: str = "label") -> Markup:
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, **more: str | float | None) -> Markup:
    return element("rect", x=x, y=y, width=max(width, 0), height=max(height, 0), class_=class_, **more)


def fitting(words: str, room_px: float) -> str:
    """``words``, cut to the room there is."""
    most = max(int(room_px / CHAR_PX), 1)
    return words if len(words) <= most else words[: most - 1] + "…"


@dataclass(frozen=True)
class Figure:
    """A chart with its heading. ``narrow`` replaces ``wide`` on a narrow page when it is given; ``legend`` pairs a class with its words."""

    title: str
    wide: Markup
    narrow: Markup | None = None
    note: str = ""
    legend: tuple[tuple[str, str], ...] = field(default=())


def _name(key: str) -> str:
    return key.rstrip("_") if key in ("class_",) else key if key == "viewBox" else key.replace("_", "-")


def _value(value: str | float | None) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
