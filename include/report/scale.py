"""From values to places on paper, and numbers in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Maps ``low``..``high`` to ``start``..``end`` (px); logarithmic when ``log`` (then both are above 0)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, 1e-12))
        share = (at - low) / (high - low) if high > low else 0.5
        # Far outside the paper every place is as good: SVG renderers lose precision on huge coordinates.
        return self.start + min(max(share, -3.0), 4.0) * (self.end - self.start)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round values within the scale."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [part * 10.0**power for power in powers for part in (1, 2, 5)]
            inside = [value for value in found if self.low * 0.999 <= value <= self.high * 1.001]
            return inside if len(inside) <= wanted + 2 else [value for value in inside if math.log10(value) % 1 < 1e-9]
        step = nice_step((self.high - self.low) / max(wanted, 1))
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice_step(raw: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below ``raw``."""
    if raw <= 0 or not math.isfinite(raw):
        return 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in STEPS if step * power >= raw * 0.999)


def padded(values: Iterable[float], share: float = 0.08) -> tuple[float, float]:
    """The span of the finite values with room on both sides; 0 to 1 when there are none."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def number(value: float | None) -> str:
    """Three significant digits without an exponent where people would not write one."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size < 0.0001:
        return f"{value:.1e}"
    digits = max(2 - math.floor(math.log10(size)), 0)
    shown = f"{value:.{digits}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def percent(share: float | None) -> str:
    """0.0213 → 2.13 %."""
    return "–" if share is None or not math.isfinite(share) else f"{number(100 * share)} %"


def seconds(value: float | None) -> str:
    """83.2 → 1 min 23 s."""
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(value: float | None) -> str:
    """Bytes: 21692 → 21.2 KiB."""
    if value is None:
        return "–"
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{number(value)} {unit}"
        value /= 1024
    return f"{number(value)} GiB"
