"""How far people who labelled the same rows agree, beyond what chance would give. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

Labels = Sequence[Hashable]


def alpha(units: Iterable[Labels], *, numbers: bool = False) -> float | None:
    """Return Krippendorff's alpha: 1 for full agreement, 0 for what chance gives, below 0 for less.

    ``units``: for each row the labels that different people gave it; rows with fewer than two say nothing. ``numbers``: labels differ by
    the square of their distance, and else wholly or not at all. None where no row has two, or where all labels are equal, of which chance
    can't be told from agreement. (Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011: each row's pairs are weighted by one less
    than its labels.)
    """
    differing: Callable[[Labels], float] = _squares if numbers else _pairs
    paired = [labels for labels in units if len(labels) >= 2]
    every = [label for labels in paired for label in labels]
    expected = differing(every)
    if not expected:
        return None
    observed = sum(differing(labels) / (len(labels) - 1) for labels in paired)
    return 1 - (len(every) - 1) * observed / expected


def _pairs(labels: Labels) -> float:
    """How many ordered pairs differ."""
    return sum(count * (len(labels) - count) for count in Counter(labels).values())


def _squares(labels: Labels) -> float:
    """The sum of the squared distances of all ordered pairs."""
    values = [float(str(label)) for label in labels]
    middle = sum(values) / len(values) if values else 0.0
    return 2 * len(values) * sum((value - middle) ** 2 for value in values)
