"""What a trial answered about each row that it was judged by, fold by fold, as a file: what the winner's gain is reckoned from."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import atomic
from include.errors import InputError
from include.gates.outcomes import Labelled, Measured

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

FILE = "outcomes.npz"


@dataclass(frozen=True)
class Judged:
    """The answers of one fold's model to the ``rows`` (indices into the training rows, shape (n,)) that it was judged by."""

    rows: Ints
    outcome: Labelled | Measured

    def arrays(self) -> dict[str, Any]:
        """Return it as arrays of plain types by name; :meth:`of` is the inverse."""
        import numpy as np

        own = self.outcome
        found: dict[str, Any] = {"rows": self.rows, "truth": own.truth, "predicted": own.predicted}
        if isinstance(own, Labelled):
            found["labels"] = np.array(json.dumps(list(own.labels)))
            if own.probabilities is not None:
                found["probabilities"] = own.probabilities
        return found

    @classmethod
    def of(cls, arrays: dict[str, Any]) -> Judged:
        if "labels" not in arrays:
            return cls(arrays["rows"], Measured(arrays["truth"], arrays["predicted"]))
        labels = tuple(json.loads(str(arrays["labels"])))
        return cls(arrays["rows"], Labelled(labels, arrays["truth"], arrays["predicted"], arrays.get("probabilities")))


def write(path: Path, folds: Sequence[Judged]) -> None:
    """Keep the folds in a file that appears whole or not at all."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{f"{number}.{name}": value for number, fold in enumerate(folds) for name, value in fold.arrays().items()})
    atomic.write(path, buffer.getvalue(), mode=0o644)


def read(path: Path) -> list[Judged]:
    """Return what :func:`write` has kept; nothing is unpickled. InputError for another file."""
    import numpy as np

    parts: dict[int, dict[str, Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as kept:
            for key in kept.files:
                number, _, name = key.partition(".")
                parts.setdefault(int(number), {})[name] = kept[key]
        return [Judged.of(parts[number]) for number in sorted(parts)]
    except (ValueError, OSError, KeyError) as error:
        raise InputError(f"holds no trial's answers ({error}).", where=str(path), remedy="Clear the trial.") from None
