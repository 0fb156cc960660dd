"""What rows were answered, beside what is right: what every metric is computed of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Labelled:
    """A classifier's answers: ``truth`` and ``predicted`` are indices into ``labels``, ``probabilities`` (n, len(labels)) or None.

    ``figures``: what a metric of the model's own gives each row; None without one.
    """

    labels: tuple[int | str, ...]
    truth: Ints
    predicted: Ints
    probabilities: Floats | None = None
    figures: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: npt.NDArray[Any]) -> Labelled:
        """The answers of some rows (indices or mask)."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Labelled(self.labels, self.truth[rows], self.predicted[rows], probabilities, _of(self.figures, rows))


@dataclass(frozen=True)
class Measured:
    """A regressor's answers; ``figures`` as those of :class:`Labelled`."""

    truth: Floats
    predicted: Floats
    figures: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: npt.NDArray[Any]) -> Measured:
        """The answers of some rows (indices or mask)."""
        return Measured(self.truth[rows], self.predicted[rows], _of(self.figures, rows))


@dataclass(frozen=True)
class Tagged:
    """Answers of several labels a row: ``truth`` and ``predicted`` are (n, len(labels)) truth values, ``probabilities`` of that shape or
    None; ``figures`` as those of :class:`Labelled`."""

    labels: tuple[str, ...]
    truth: Bools
    predicted: Bools
    probabilities: Floats | None = None
    figures: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: npt.NDArray[Any]) -> Tagged:
        """The answers of some rows (indices or mask)."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Tagged(self.labels, self.truth[rows], self.predicted[rows], probabilities, _of(self.figures, rows))


@dataclass(frozen=True)
class Checked:
    """What is wrong with answers whatever they are about, one a row.

    ``refused`` where the reference does not refuse; ``json`` where ``json_wanted``, the reference being JSON; ``revealed`` personal data
    that neither prompt nor reference holds.
    """

    refused: Bools
    json_wanted: Bools
    json: Bools
    revealed: Bools

    def take(self, rows: npt.NDArray[Any]) -> Checked:
        """Those of some rows (indices or mask)."""
        return Checked(self.refused[rows], self.json_wanted[rows], self.json[rows], self.revealed[rows])


@dataclass(frozen=True)
class Answered:
    """A language model's answers, one a row: whether it ``matches`` the reference, has its form (``formed``), and their words' ``overlap``.

    ``loss``: what the reference answer's ``tokens`` cost the model together (nats); None where the model can't be asked for it. ``checks``:
    what else was looked for in the answers, None where nothing was.
    """

    matches: Bools
    formed: Bools
    overlap: Floats
    tokens: Ints
    loss: Floats | None = None
    checks: Checked | None = None

    def __len__(self) -> int:
        return len(self.matches)

    def take(self, rows: npt.NDArray[Any]) -> Answered:
        """The answers of some rows (indices or mask)."""
        loss = None if self.loss is None else self.loss[rows]
        checks = None if self.checks is None else self.checks.take(rows)
        return Answered(self.matches[rows], self.formed[rows], self.overlap[rows], self.tokens[rows], loss, checks)


@dataclass(frozen=True)
class Marked:
    """What a judge thinks of answers, one a row: 0 (worst) to 1 (best)."""

    marks: Floats

    def __len__(self) -> int:
        return len(self.marks)

    def take(self, rows: npt.NDArray[Any]) -> Marked:
        """Those of some rows (indices or mask)."""
        return Marked(self.marks[rows])


def _of(figures: Floats | None, rows: npt.NDArray[Any]) -> Floats | None:
    return None if figures is None else figures[rows]


Outcome = Labelled | Measured | Tagged | Answered | Marked
