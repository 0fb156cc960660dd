"""Numbers as people write them."""

from __future__ import annotations

LARGEST = 1e15
"""From here on digits before the point say less than an exponent."""


def significant(value: float, digits: int = 4, sign: str = "") -> str:
    """Write a number with so many significant digits, a large one whole and without an exponent: ``1140.2`` → ``1140``, not ``1.14e+03``.

    ``sign``: "+" also puts the sign before positive numbers.
    """
    shown = f"{value:{sign}.{digits}g}"
    return f"{value:{sign}.0f}" if "e+" in shown and abs(value) < LARGEST else shown
