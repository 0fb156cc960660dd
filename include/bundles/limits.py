"""What a served model does not take of a column, so that it refuses what the trained one would have refused.

Standard library and numpy only, and no other module of Updraft: it is copied beside Triton's ``model.py`` and runs in runtime `triton`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 5
"""Known values that a sentence lists."""


@dataclass(frozen=True)
class Limit:
    """Of one column. ``missing``, ``infinite``: whether such values are taken; ``low``, ``high``: bounds of a number; ``known``: the only
    values there may be (the missing one apart); ``blank``: whether a text without a letter is taken; ``most_characters`` of a text."""

    missing: bool = True
    infinite: bool = True
    low: float | None = None
    high: float | None = None
    known: tuple[Any, ...] | None = None
    blank: bool = True
    most_characters: int | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Limit:
        known = data.get("known")
        return cls(
            data.get("missing", True),
            data.get("infinite", True),
            data.get("low"),
            data.get("high"),
            None if known is None else tuple(known),
            data.get("blank", True),
            data.get("most_characters"),
        )

    def refusal(self, values: Any) -> str:
        """Why the first value that isn't taken isn't; empty when all are. ``values``: a numpy array of numbers, or of str."""
        if values.dtype.kind not in "OSU":
            return self._number(values)
        texts = [value.decode() if isinstance(value, bytes) else str(value) for value in values.ravel()]
        if not self.missing and "" in texts:
            return "is missing (an empty text), and the model takes no missing value there"
        for row, text in enumerate(texts):
            if why := self.text(text):
                return f"{f'(row {row}) ' if len(texts) > 1 else ''}{why}"
        if self.known is not None:
            allowed = {str(value) for value in self.known}
            stray = next((text for text in texts if text and text not in allowed), None)
            if stray is not None:
                return f"is {stray[:60]!r}, which the model does not know; it knows {_listed(self.known)}"
        return ""

    def text(self, text: str) -> str:
        """Why a text is not taken, whatever values are known; empty when it is. ``text`` may come from anywhere."""
        if not self.blank and not text.strip():
            return "holds nothing to read: it is empty, or of spaces alone"
        if self.most_characters is not None and len(text) > self.most_characters:
            return f"has {len(text)} characters, and {self.most_characters} are allowed"
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"holds half a character (\\u{ord(text[error.start]):x} at {error.start}), which is no text"
        return ""

    def _number(self, values: Any) -> str:
        import numpy as np

        flat = values.ravel()
        if flat.dtype.kind == "f":
            if not self.missing and np.isnan(flat).any():
                return "is missing (NaN), and the model takes no missing number there"
            if not self.infinite and np.isinf(flat).any():
                return f"is infinite, or too large for {'FP32' if flat.dtype == np.float32 else 'FP64'}; the model takes finite numbers"
            flat = flat[np.isfinite(flat)]
        if not len(flat):
            return ""
        low, high = flat.min(), flat.max()
        if self.low is not None and low < self.low:
            return f"is {low}, and what the model says is only known from {_number(self.low)} on"
        if self.high is not None and high > self.high:
            return f"is {high}, and what the model says is only known up to {_number(self.high)}"
        if self.known is not None:
            stray = flat[~np.isin(flat, np.array(self.known, dtype=flat.dtype))]
            if len(stray):
                return f"is {stray[0]}, which the model does not know; it knows {_listed(self.known)}"
        return ""


def refusal(limits: Mapping[str, Limit], features: Sequence[str], arrays: Mapping[str, Any]) -> str:
    """Why these input tensors are not taken, naming input (and column); empty when they are. ``features``: the columns of `input`."""
    for name, limit in limits.items():
        if name in arrays:
            values, where = arrays[name], f"input {name!r}"
        elif "input" in arrays and name in features and arrays["input"].ndim == 2 and arrays["input"].shape[1] == len(features):
            values, where = arrays["input"][:, list(features).index(name)], f"input 'input', column {name!r}"
        else:
            continue
        if why := limit.refusal(values):
            return f"{where} {why}."
    return ""


def _number(value: float) -> str:
    """A number with all of its digits, and no more."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _listed(known: Sequence[Any]) -> str:
    return ", ".join(map(str, known[:SHOWN])) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
