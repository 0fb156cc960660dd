"""Logged rows beside held-out ones, in one form: the model's columns, its answers, its confidence, its losses. Pure.

The reference is what ``evaluate`` leaves of the held-out rows: ``inputs.<feature>``, ``outputs.prediction``, ``outputs.confidence`` (of
classifiers with probabilities), ``truth``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.bundles.signature import INPUT, LABEL, PREDICTION, PROBABILITIES
from include.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

INPUTS, OUTPUTS = "inputs.", "outputs."
ANSWER, CONFIDENCE, TRUTH = "outputs.prediction", "outputs.confidence", "truth"
LOSS, USELESS, SAID = "loss", "useless", "said"
"""Of models whose answers are no label: how wrong a held-out row is, whether an answer is of no use by its form (0, 1), and a logged answer
as labels are compared with it."""
TEXTS = "texts."
"""Of chats: what was asked and answered, for who looks at the texts (``texts.question``, ``texts.answer``, ``texts.messages``)."""
LARGEST_ERROR = 10.0
"""A number's error counts up to this many times the mean error of the held-out rows: a loss in 0..1, a tenth as held out."""


@dataclass(frozen=True)
class Reference:
    """Held-out rows: ``inputs`` (the model's columns), ``answers``, ``loss`` in 0..1, ``confidence`` where there is one.

    ``scale``: the error that counts as the loss 1, of numbers; 0 of classes.
    """

    inputs: pd.DataFrame
    answers: pd.Series[Any]
    loss: Floats
    confidence: Floats | None
    scale: float
    useless: Floats | None = None
    """1 for an answer that is of no use by its form, 0 for others; None of models whose answers have no form to look at."""
    texts: pd.DataFrame | None = None
    """Questions and answers as they are, by :data:`TEXTS`'s names; None where none are kept."""

    @classmethod
    def of(cls, frame: pd.DataFrame, classification: bool) -> Reference:
        """Make it from the reference's table. Raises InputError for one that is none."""
        if missing := [name for name in (ANSWER, LOSS if LOSS in frame.columns else TRUTH) if name not in frame.columns]:
            raise InputError(f"has no column {', '.join(missing)}.", where="the reference", remedy="Run the model's lifecycle again.")
        if not len(frame):
            raise InputError("has no row.", where="the reference", remedy="Run the model's lifecycle again.")
        named = [name for name in frame.columns if str(name).startswith(INPUTS)]
        inputs = frame[named].rename(columns=lambda name: str(name).removeprefix(INPUTS))
        if LOSS in frame.columns:
            loss, useless = (frame[name].to_numpy(dtype="float64") for name in (LOSS, USELESS))
            return cls(inputs, frame[ANSWER], loss, None, 0.0, useless, texts_of(frame))
        scale = 0.0
        if not classification:
            scale = float((frame[TRUTH].astype(float) - frame[ANSWER].astype(float)).abs().mean()) * LARGEST_ERROR or 1.0
        confidence = frame[CONFIDENCE].to_numpy(dtype="float64") if CONFIDENCE in frame.columns else None
        return cls(inputs, frame[ANSWER], losses(frame[TRUTH], frame[ANSWER], scale), confidence, scale)


def losses(truth: pd.Series[Any], answers: pd.Series[Any], scale: float) -> Floats:
    """Return each row's loss in 0..1: whether the class is wrong, or with a ``scale`` above 0 the number's error as a part of it.

    An answer that is no number counts as wholly wrong.
    """
    import numpy as np
    import pandas as pd

    if not scale:
        wrong: Floats = (texts(truth) != texts(answers)).to_numpy().astype("float64")
        return wrong
    error = (pd.to_numeric(truth, errors="coerce") - pd.to_numeric(answers, errors="coerce")).abs().to_numpy(dtype="float64")
    found: Floats = np.minimum(np.nan_to_num(error / scale, nan=1.0, posinf=1.0), 1.0)
    return found


def texts(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return labels as texts: 1, 1.0, True and '1' are one class."""

    def one(value: Any) -> str:
        if isinstance(value, bool):
            return str(int(value))
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

    return values.map(one).astype(str)


@dataclass(frozen=True)
class Logged:
    """Rows of the prediction log that were answered. ``ids``, ``inputs``, ``answers`` and ``confidence`` share their order."""

    ids: pd.Series[Any]
    inputs: pd.DataFrame
    answers: pd.Series[Any]
    confidence: Floats | None
    said: pd.Series[Any] | None = None
    """Answers as labels are compared with them, where these are others than ``answers``."""
    useless: Floats | None = None
    """Of the answers whose form is known: 1 for one of no use, 0 for others."""
    texts: pd.DataFrame | None = None
    """As those of the reference, in the rows' order."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, frame: pd.DataFrame, features: Sequence[str]) -> Logged:
        """Make it from the log's table; ``features``: the columns behind the one wide input, in order, where the model has that."""
        import numpy as np
        import pandas as pd

        frame = frame[(frame["status"] == 200) & (frame["kind"] == "live")].reset_index(drop=True)
        answer = next((name for name in (OUTPUTS + LABEL, OUTPUTS + PREDICTION) if name in frame.columns), None)
        answers = frame[answer].map(_scalar) if answer else pd.Series([None] * len(frame), dtype=object)
        confidence = None
        if OUTPUTS + PROBABILITIES in frame.columns and len(frame):
            confidence = np.array([_most(value) for value in frame[OUTPUTS + PROBABILITIES]], dtype="float64")
        if USELESS not in frame.columns:
            return cls(frame["id"], inputs_of(frame, list(features)), answers, confidence)
        useless = frame[USELESS].dropna().to_numpy(dtype="float64")
        return cls(frame["id"], inputs_of(frame, list(features)), answers, None, frame[SAID], useless, texts_of(frame))

    def labelled(self, labels: pd.DataFrame, scale: float) -> tuple[Floats, Floats | None]:
        """Return the losses of the rows that ``labels`` (``id``, ``label``) are of, and the confidence of these rows."""
        import pandas as pd

        answers = self.answers if self.said is None else self.said
        rows = pd.DataFrame({"id": self.ids, "answer": answers, "row": range(len(self.ids))})
        both = rows.merge(labels[["id", "label"]].dropna().drop_duplicates("id", keep="last"), on="id")
        confidence = None if self.confidence is None else self.confidence[both["row"].to_numpy()]
        return losses(both["label"], both["answer"], scale), confidence


def texts_of(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return the texts of a table by their names, None where it has none."""
    named = [name for name in frame.columns if str(name).startswith(TEXTS)]
    return frame[named].rename(columns=lambda name: str(name).removeprefix(TEXTS)) if named else None


def inputs_of(frame: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """Return the inputs of a log's table by their columns; ``features``: those behind the one wide input, in order, where there is that."""
    import pandas as pd

    named = {name: str(name).removeprefix(INPUTS) for name in frame.columns if str(name).startswith(INPUTS)}
    wide = INPUTS + INPUT
    if list(named) == [wide] and features != [INPUT]:
        rows = [value if isinstance(value, list) else [value] for value in frame[wide]]
        whole = [row if len(row) == len(features) else [None] * len(features) for row in rows]
        return pd.DataFrame(whole, columns=features, index=frame.index)
    return frame[list(named)].rename(columns=named).map(_scalar)


def _scalar(value: Any) -> Any:
    """A tensor [1] is its one value."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _most(value: Any) -> float:
    return float(max(value)) if isinstance(value, list) and value else float("nan")
