"""A metric of the model's own: a function in its folder that gives each held-out row a figure. The score is their mean.

Figures of rows are all that slices, intervals and the paired test against the champion need.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.gates.metrics import is_own
from include.gates.outcomes import Labelled, Measured, Tagged
from include.kinds.rows.answers import Answers, Label, outcome_of
from include.kinds.rows.rows import Rows
from include.spec.schema import Spec
from include.steps.user_code import explained, importable, load_entry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

SHOWN = 5


def judged(spec: Spec, folder: Path, test: Rows, said: Answers, known: tuple[Label, ...]) -> Labelled | Measured | Tagged:
    """Return what a model has ``said`` of the rows ``test`` beside what is right, with the figures of the metric that ``gate.metric`` names
    in ``folder``, where it names one.

    ``known``: every label of both, none for numbers. Raises InputError for a function that fails, or gives no figure for a row.
    """
    found = outcome_of(spec.task, said, test.y, known)
    entry = spec.gate.metric
    return replace(found, figures=_figures(folder, entry, test, said)) if entry and is_own(entry) else found


def _figures(folder: Path, entry: str, test: Rows, said: Answers) -> npt.NDArray[np.float64]:
    import numpy as np

    where, name = f"gate.metric {entry}", entry.partition(":")[2]
    with importable(folder):
        function = load_entry(folder, entry)
        with explained(folder, f"{name}()"):
            given = function(test.table.copy(), _table(said))
    try:
        found: npt.NDArray[np.float64] = np.asarray(given, dtype="float64").reshape(-1)
    except (TypeError, ValueError) as error:
        raise InputError(f"gives no numbers: {error}.", where=where, remedy="Return one number for each row.") from None
    if len(found) != len(test):
        raise InputError(
            f"gives {len(found)} figures for {len(test)} rows.", where=where, remedy="Return one number for each row, in order."
        )
    if broken := [str(row + 1) for row in np.flatnonzero(~np.isfinite(found))]:
        what = f"gives NaN or infinity for {len(broken)} of {len(test)} rows, first {', '.join(broken[:SHOWN])} of those held out."
        raise InputError(what, where=where, remedy="Give each row a number: 0 where nothing is right.")
    return found


def _table(said: Answers) -> pd.DataFrame:
    """What a model has said, as the function gets it: ``answer``, and ``probability.<class>`` where there are such."""
    import pandas as pd

    found: dict[str, Any] = {"answer": said.values}
    if said.probabilities is not None:
        found |= {f"probability.{label}": said.probabilities[:, place] for place, label in enumerate(said.classes)}
    return pd.DataFrame(found)
