"""Live requests of a table's model (KServe v2, JSON) that both arms of a trial are asked again: do they answer a row alike?

The whole request is asked, as its caller did, and one row of it counts: rows of one request are not independent. Which one follows from the
request's own bytes, never from an answer. A row is counted once a trial, whatever requests it comes in.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from include.bundles.signature import INPUT, LABEL, PREDICTION
from include.canary.compared import Compared, Pair
from include.canary.observations import Sample
from include.data.personal import masked
from include.release.examiner import UNREADABLE

SHOWN_CHARACTERS = 600
"""Of a row or an answer that is kept as an example."""
HIDDEN = "not shown"
_LEFT_OUT = ("id", "outputs")
_BINARY = "binary_data_output"


@dataclass(frozen=True)
class Tensor:
    """A tensor's values by row: ``rows`` of ``width`` each, flat."""

    rows: int
    width: int
    values: tuple[Any, ...]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Tensor:
        """Read a tensor of a KServe v2 body; any of ``UNREADABLE`` for one that is none, or whose data isn't there as JSON."""
        shape, values = [int(size) for size in said["shape"]], tuple(_flat(said["data"]))
        width = math.prod(shape[1:])
        if shape[0] < 1 or width < 1 or len(values) != shape[0] * width:
            raise ValueError(f"{len(values)} values of shape {shape}")
        return cls(shape[0], width, values)

    def row(self, number: int) -> tuple[Any, ...]:
        """Return one row's values."""
        return self.values[number * self.width : (number + 1) * self.width]


@dataclass(frozen=True)
class LiveRow:
    """A live request and the one of its ``rows`` that counts (``number``), with that row's ``inputs`` by tensor; ``id`` is the row's."""

    id: str
    body: Mapping[str, Any]
    rows: int
    number: int
    inputs: Mapping[str, tuple[Any, ...]]

    @classmethod
    def parse(cls, text: bytes) -> LiveRow | None:
        """Return None for what can't be asked again as JSON: binary tensors, inputs of different lengths, no inference request."""
        try:
            body = json.loads(text)
            tensors = {str(said["name"]): Tensor.of(said) for said in body["inputs"]}
            [rows] = {tensor.rows for tensor in tensors.values()}
        except UNREADABLE:
            return None
        number = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % rows
        inputs = {name: tensor.row(number) for name, tensor in sorted(tensors.items())}
        return cls(hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16], body, rows, number, inputs)


Outputs = Mapping[str, Tensor]


class RowQuestions:
    """Questions of :class:`include.release.examiner.Examiner`; numbers are alike within ``tolerance``, labels (None) when equal.

    ``hidden`` are the inputs and outputs that no log may hold (``monitor.log``): no example shows them.
    """

    def __init__(self, model: str, tolerance: float | None, hidden: Collection[str] = ()) -> None:
        self.path, self._tolerance, self._hidden = f"/v2/models/{model}/infer", tolerance, frozenset(hidden)

    def body(self, request: LiveRow) -> Mapping[str, Any]:
        """Return the request without what asks for an answer in another form."""
        kept = {name: value for name, value in request.body.items() if name not in _LEFT_OUT}
        if isinstance(parameters := kept.get("parameters"), dict):
            kept["parameters"] = {name: value for name, value in parameters.items() if name != _BINARY}
        return kept

    def answer(self, found: Any) -> Outputs:
        return {str(said["name"]): Tensor.of(said) for said in found["outputs"]}

    def compared(self, request: LiveRow, stable: Outputs, canary: Outputs) -> Sample:
        """Return nothing where stable gives no label or number; a canary that gives none then differs."""
        theirs, ours = (_answer(outputs, request) for outputs in (stable, canary))
        if theirs is None:
            return Sample()
        if ours is not None and alike(ours, theirs, self._tolerance):
            return Sample(compared=Compared(rows=1))
        texts = [_text(theirs), "no such output" if ours is None else _text(ours)]
        if self._hidden & {f"outputs.{LABEL}", f"outputs.{PREDICTION}"}:
            texts = [HIDDEN, HIDDEN]
        return Sample(compared=Compared(rows=1, differ=1, examples=(Pair(self._row(request.inputs), *texts),)))

    def _row(self, inputs: Mapping[str, tuple[Any, ...]]) -> str:
        """The row for people; a tensor of all columns is shown only where none of them is to be hidden."""
        hidden = self._hidden | ({INPUT} if self._hidden else set())
        return _short(", ".join(f"{name} {HIDDEN if name in hidden else _values(values)}" for name, values in inputs.items()))


def alike(ours: tuple[Any, ...], theirs: tuple[Any, ...], tolerance: float | None) -> bool:
    """Say whether two answers to one row count as the same. A number that is none is like nothing but itself."""
    if tolerance is None or len(ours) != len(theirs):
        return ours == theirs
    try:
        pairs = [(float(one), float(other)) for one, other in zip(ours, theirs, strict=True)]
    except (TypeError, ValueError):
        return ours == theirs
    return all(abs(one - other) <= tolerance or one == other or (math.isnan(one) and math.isnan(other)) for one, other in pairs)


def _answer(outputs: Outputs, request: LiveRow) -> tuple[Any, ...] | None:
    """The label or number that an arm gives for the row."""
    found = outputs.get(LABEL) or outputs.get(PREDICTION)
    return found.row(request.number) if found is not None and found.rows == request.rows else None


def _flat(data: Any) -> list[Any]:
    """A tensor's data, which may be nested, as one list."""
    return [value for part in data for value in _flat(part)] if isinstance(data, list) else [data]


def _text(values: tuple[Any, ...]) -> str:
    return _short(_values(values))


def _values(values: tuple[Any, ...]) -> str:
    texts = [masked(value) if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _short(text: str) -> str:
    text = text.replace("\0", " ")
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
