"""Whether a coarser form of a model is still the model: does it give the same class, and do its answers point the same way? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.kinds.rows.answers import Answers

if TYPE_CHECKING:
    import numpy.typing as npt


NEAR = 1e-3
"""How far two answers of one model may be apart, as a part of the largest (of 1 at least): what float32 arithmetic explains, and more."""


def near(ours: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> bool:
    """Say whether two arrays are one answer, computed in two ways."""
    import numpy as np

    scale = max(float(np.abs(wanted).max()), 1.0) if wanted.size else 1.0
    return bool(ours.shape == wanted.shape and np.allclose(ours, wanted, atol=NEAR * scale, equal_nan=True))


def agreement(said: Answers, original: Answers) -> float:
    """Return the share of rows that both give the same label."""
    return float((said.values == original.values).mean())


def cosine(said: Answers, original: Answers) -> float:
    """Return the mean over the rows of the cosine between both answers' probabilities; of numbers, the cosine of all rows at once.

    Without probabilities 1. NaN where an answer is no number.
    """
    if original.values.dtype.kind == "f":
        return float(_cosines(said.values[None, :], original.values[None, :]).mean())
    if said.probabilities is None or original.probabilities is None:
        return 1.0
    return float(_cosines(said.probabilities, original.probabilities).mean())


def _cosines(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import numpy as np

    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # Two answers that are all zeros are alike.
    found: npt.NDArray[Any] = np.where(lengths == 0, (a == b).all(axis=1), (a * b).sum(axis=1) / np.where(lengths == 0, 1, lengths))
    return found


def faults(said: Answers, original: Answers, min_agreement: float, min_cosine: float) -> tuple[str, ...]:
    """Return a sentence for each way in which a form is not the model any more."""
    found, rows = [], len(original.values)
    same, alike = agreement(said, original), cosine(said, original)
    if original.values.dtype.kind != "f" and same < min_agreement:
        found.append(f"{100 * same:.2f} % of {rows} held-out rows get the original's class, and {100 * min_agreement:g} % must")
    if not alike >= min_cosine:
        found.append(f"the cosine between its answers and the original's is {alike:.4f}, and {min_cosine:g} is the least")
    return tuple(found)
