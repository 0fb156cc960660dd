"""What an optimiser is, and those there are. A new one (TensorRT, say) is one file with a class of this shape and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from include.spec.schema import OptimizeMethod

if TYPE_CHECKING:
    import numpy.typing as npt

Calibration = Mapping[str, "npt.NDArray[Any]"]
"""Input tensors of training rows by name: what the model's inputs look like."""


@dataclass(frozen=True)
class Built:
    """An optimised model was written; ``lossy`` when its arithmetic is coarser than float32 by intent."""

    lossy: bool


@dataclass(frozen=True)
class Unavailable:
    """There is nothing to optimise this way; ``reason`` is a sentence for the report."""

    reason: str


class Optimizer(Protocol):
    """Makes a faster or smaller form of an ONNX model."""

    name: str

    def build(self, plain: Path, out: Path, calibration: Calibration) -> Built | Unavailable:
        """Write the optimised form of ``plain`` to ``out``, or say why there is none. Inputs, outputs and their names stay."""
        ...


def optimizers() -> dict[str, Optimizer]:
    """By the name that the spec's ``optimize.methods`` uses."""
    from include.steps.onnx_graph import GraphOptimizer
    from include.steps.onnx_int8 import Int8Optimizer

    return {OptimizeMethod.GRAPH.value: GraphOptimizer(), OptimizeMethod.INT8.value: Int8Optimizer()}
