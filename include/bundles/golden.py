"""Golden inputs: held-out rows, and rows unlike them, with the answers that every later form of the model must give.

KServe v2 tensors in a JSON file; a missing number is NaN, as Triton reads and writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.signature import LABEL, PROBABILITIES, Signature, Tensor

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Tolerance:
    """Two numbers a and b are equal when |a - b| ≤ absolute + relative · |b|, b the reference."""

    absolute: float
    relative: float = 0.0

    def holds(self, value: float, reference: float) -> bool:
        return math.isfinite(value) and abs(value - reference) <= self.absolute + self.relative * abs(reference)


@dataclass(frozen=True)
class Golden:
    """``inputs`` and ``outputs`` as in a KServe v2 request and response: name, datatype, shape, flat row-major data."""

    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    tolerance: Tolerance
    classes: tuple[int | str, ...] = ()

    @property
    def rows(self) -> int:
        return int(self.inputs[0]["shape"][0])

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self) | {"rows": self.rows}))

    @classmethod
    def read(cls, path: Path) -> Golden:
        data = json.loads(path.read_text())
        return cls(tuple(data["inputs"]), tuple(data["outputs"]), Tolerance(**data["tolerance"]), tuple(data.get("classes", ())))

    def mismatches(self, outputs: Sequence[Mapping[str, Any]]) -> list[str]:
        """One sentence an output that is missing, of another shape or beyond the tolerance; empty when all is as recorded.

        A label may differ where the reference itself is a tie within the tolerance: the probability that the reference gives the other
        label is no more than twice the absolute tolerance below its highest, so that two sets of probabilities, equal within the
        tolerance, can rank them either way.
        """
        given = {tensor["name"]: tensor for tensor in outputs}
        return [why for expected in self.outputs if (why := self._mismatch(expected, given.get(expected["name"])))]

    def _mismatch(self, expected: Mapping[str, Any], given: Mapping[str, Any] | None) -> str:
        name = expected["name"]
        if given is None:
            return f"{name}: missing"
        if len(given["data"]) != len(expected["data"]):
            return f"{name}: {len(given['data'])} values instead of {len(expected['data'])}"
        pairs = list(zip(given["data"], expected["data"], strict=True))
        if name == LABEL:
            wrong = [row for row, (value, reference) in enumerate(pairs) if value != reference and not self._tied(row, value, reference)]
        else:
            wrong = [at for at, (value, reference) in enumerate(pairs) if not self._same(value, reference)]
        if not wrong:
            return ""
        value, reference = pairs[wrong[0]]
        row = wrong[0] * self.rows // len(pairs)
        return f"{name}: {len(wrong)} of {len(pairs)} values differ, first in row {row}: {value!r} instead of {reference!r}"

    def _same(self, value: Any, reference: Any) -> bool:
        """Texts are equal or not; numbers are within the tolerance."""
        return bool(value == reference) if isinstance(reference, str) else self.tolerance.holds(value, reference)

    def _tied(self, row: int, value: int | str, reference: int | str) -> bool:
        probabilities = next((tensor["data"] for tensor in self.outputs if tensor["name"] == PROBABILITIES), None)
        if probabilities is None or value not in self.classes:
            return False
        size = len(self.classes)
        own = probabilities[row * size : (row + 1) * size]
        gap = own[self.classes.index(reference)] - own[self.classes.index(value)]
        return bool(gap <= 2 * self.tolerance.absolute)


def to_kserve(tensor: Tensor, array: npt.NDArray[Any]) -> dict[str, Any]:
    """``array`` as a KServe v2 JSON tensor."""
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(array.shape), "data": array.ravel().tolist()}


def to_golden(
    signature: Signature, inputs: Mapping[str, npt.NDArray[Any]], outputs: Mapping[str, npt.NDArray[Any]], tolerance: Tolerance
) -> Golden:
    """The golden file of these arrays."""
    return Golden(
        tuple(to_kserve(tensor, inputs[tensor.name]) for tensor in signature.inputs if not tensor.optional),
        tuple(to_kserve(tensor, outputs[tensor.name]) for tensor in signature.outputs),
        tolerance,
        signature.classes,
    )


def arrays(golden: Golden, signature: Signature) -> dict[str, npt.NDArray[Any]]:
    """The golden inputs as numpy arrays."""
    import numpy as np

    return {
        tensor["name"]: np.array(tensor["data"], dtype=signature.input(tensor["name"]).dtype).reshape(tensor["shape"])
        for tensor in golden.inputs
    }
