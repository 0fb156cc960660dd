"""Streams whose change is known: own generators after the published ones. Each gives rows before, rows changed without harm, and with.

SEA: Street and Kim 2001. Agrawal: Agrawal, Imielinski and Swami 1993. SineClusters: Lukats and others 2024, in the idea
(clusters that stand on sine curves, and move). Waveform: Breiman and others 1984, with its columns of noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Ints]]
WAVES = np.maximum(6 - np.abs(np.arange(1, 22)[None, :] - np.array([[7], [15], [11]])), 0).astype(float)


@dataclass(frozen=True)
class Stream:
    """``harmless``: inputs change and the loss does not. ``harm``: it does. ``seen``: whether the model's own confidence can show it."""

    name: str
    before: Draw
    harmless: Draw
    harm: Draw
    seen: bool
    train: Draw | None = None
    """What a model learns from, where that must be other rows than ``before`` gives."""


def sea(theta: float = 8.0, focus: float = 0.0, irrelevant: float = 0.0) -> Draw:
    """``focus``: share of the rows that lie near the border; ``irrelevant``: how far the column that tells nothing has moved."""

    def draw(rng: np.random.Generator, rows: int) -> tuple[Floats, Ints]:
        x = rng.uniform(0, 10, (rows, 3))
        near = rng.random(rows) < focus
        x[near, 0] = rng.uniform(1, 7, near.sum())
        x[near, 1] = 8 - x[near, 0] + rng.normal(0, 0.15, near.sum())
        y = (x[:, 0] + x[:, 1] <= theta).astype("int64")
        x[:, 2] += irrelevant
        return x, np.where(rng.random(rows) < 0.1, 1 - y, y)

    return draw


def agrawal(function: int, irrelevant: bool = False, blurred: float = 0.05) -> Draw:
    """Applicants for a loan: salary, commission, age, education, car, postcode, house value, years, loan. ``blurred``: its perturbation."""

    def draw(rng: np.random.Generator, rows: int) -> tuple[Floats, Ints]:
        salary = rng.uniform(20e3, 150e3, rows)
        commission = np.where(salary >= 75e3, 0, rng.uniform(10e3, 75e3, rows))
        age = rng.uniform(20, 80, rows)
        education = rng.integers(0, 5, rows)
        car, postcode = rng.integers(1, 6 if irrelevant else 21, rows), rng.integers(0, 3 if irrelevant else 9, rows)
        house = rng.uniform(0.5, 1.5, rows) * 1e5 * (9 - postcode)
        years, loan = rng.uniform(1, 30, rows), rng.uniform(0, 500e3, rows)
        band = np.digitize(age, [40, 60])
        if function == 1:
            group = band != 1
        elif function == 2:
            low, high = np.array([50e3, 75e3, 25e3])[band], np.array([100e3, 125e3, 75e3])[band]
            group = (low <= salary) & (salary <= high)
        else:
            level = [(0, 1), (1, 3), (2, 4)]
            low, high = (np.array([pair[part] for pair in level])[band] for part in (0, 1))
            group = (low <= education) & (education <= high)
        x = np.column_stack([salary, commission, age, education, car, postcode, house, years, loan]).astype(float)
        spans = {0: 130e3, 2: 60, 7: 29, 8: 500e3}
        for column, span in spans.items():
            x[:, column] += rng.uniform(-blurred, blurred, rows) * span
        return x, group.astype("int64")

    return draw


def sine_clusters(spread: float = 0.35, turned: float = 0.0, irrelevant: float = 0.0) -> Draw:
    """Three clusters on sine curves, a third of a turn apart; ``turned`` moves what they are called along the curve."""

    def draw(rng: np.random.Generator, rows: int) -> tuple[Floats, Ints]:
        y = rng.integers(0, 3, rows)
        phase = 2 * np.pi * y / 3 + turned + rng.normal(0, 0.25, rows)
        x = np.column_stack([np.sin(phase), np.cos(phase), np.sin(2 * phase), rng.normal(irrelevant, 1, rows)])
        x[:, :3] += rng.normal(0, spread, (rows, 3))
        return x, y.astype("int64")

    return draw


def waveform(swapped: bool = False, mixed: float = 0.0, irrelevant: float = 0.0) -> Draw:
    """21 columns of two of three waves, mixed, and 9 of noise. ``mixed``: share of rows near one wave alone; ``swapped``: waves change
    places."""

    def draw(rng: np.random.Generator, rows: int) -> tuple[Floats, Ints]:
        y = rng.integers(0, 3, rows)
        pairs = np.array([(0, 1), (0, 2), (1, 2)])
        part = rng.uniform(0, 1, rows)
        part = np.where(rng.random(rows) < mixed, np.array([1.0, 1.0, 0.0])[y] * 0.9 + 0.05, part)[:, None]
        waves = WAVES[[1, 0, 2]] if swapped else WAVES
        x = part * waves[pairs[y, 0]] + (1 - part) * waves[pairs[y, 1]] + rng.normal(0, 1, (rows, 21))
        return np.column_stack([x, rng.normal(irrelevant, 1, (rows, 9))]), y.astype("int64")

    return draw


STREAMS = (
    Stream("SEA, rows at the border", sea(), sea(irrelevant=3), sea(focus=0.4), True),
    Stream("SEA, border moved", sea(), sea(irrelevant=3), sea(theta=9.5), False),
    Stream("SEA, border moved a little", sea(), sea(irrelevant=3), sea(theta=9.0), False),
    Stream("Agrawal, blurred", agrawal(2), agrawal(2, irrelevant=True), agrawal(2, blurred=0.25), False),
    Stream("Agrawal, function 2 to 3", agrawal(2), agrawal(2, irrelevant=True), agrawal(3), False),
    Stream("SineClusters, wider", sine_clusters(), sine_clusters(irrelevant=1), sine_clusters(spread=0.6), False),
    Stream("Waveform, classes mixed", waveform(), waveform(irrelevant=1), waveform(mixed=0.35), True),
)
