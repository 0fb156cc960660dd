"""What an optimiser is, and those there are. A new one is one file with a class of this shape and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from include.spec.schema import OptimizeMethod, Spec

if TYPE_CHECKING:
    import numpy.typing as npt

Calibration = Mapping[str, "npt.NDArray[Any]"]
"""Input tensors of training rows by name: what the model's inputs look like."""


@dataclass(frozen=True)
class Built:
    """An optimised model was written; ``lossy`` when its arithmetic is coarser than float32 by intent.

    ``plan``: the folder beside it that holds its TensorRT plan; empty when ONNX Runtime runs it.
    """

    lossy: bool
    plan: str = ""


@dataclass(frozen=True)
class Unavailable:
    """There is nothing to optimise this way; ``reason`` is a sentence for the report."""

    reason: str


class Optimizer(Protocol):
    """Makes a faster or smaller form of an ONNX model."""

    @property
    def name(self) -> str: ...

    def build(self, plain: Path, out: Path, calibration: Calibration) -> Built | Unavailable:
        """Write the optimised form of ``plain`` to ``out``, or say why there is none. Inputs, outputs and their names stay."""
        ...


def optimizers(spec: Spec) -> dict[str, Optimizer]:
    """Those that the spec's ``optimize.methods`` names, by that name."""
    from include.kinds.forms.graph import GraphOptimizer
    from include.kinds.forms.int8 import Int8Optimizer
    from include.kinds.forms.tensorrt_plans import PlanOptimizer

    runtimes: dict[OptimizeMethod, Optimizer] = {OptimizeMethod.GRAPH: GraphOptimizer(), OptimizeMethod.INT8: Int8Optimizer()}
    return {method.value: runtimes.get(method) or PlanOptimizer(method, spec) for method in spec.optimize.methods}
