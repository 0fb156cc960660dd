"""Models of a table's rows: a class or a number for each row; scikit-learn, ONNX, Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from include.kinds import searched
from include.kinds.rows.kind import RowsKind
from include.kinds.table import columns, faults, files
from include.spec.label import LOG
from include.spec.schema import ModelSpec

if TYPE_CHECKING:
    from include.spec.data import ProductionRows
    from include.spec.document import Fault
    from include.spec.schema import Spec

RUNTIME = "trainer"
"""The environment of all that is done with a table and its model, besides the training itself."""
TENSORRT = "tensorrt"
"""The environment that has all of the other, and TensorRT; it is installed on demand only."""
PLANS = ("optimize", "verify")
"""Steps that have to do with TensorRT's plans where the spec names some."""


class TableModel(RowsKind):
    """``kind: table``, the kind of a spec that names none."""

    name = "table"
    spec = ModelSpec

    def faults(self, spec: ModelSpec) -> Iterator[Fault]:
        return faults.faults(spec)

    def file_faults(self, spec: ModelSpec, folder: Path) -> Iterator[Fault]:
        return files.faults(spec, folder)

    def column_faults(self, spec: ModelSpec, folder: Path) -> Iterator[Fault]:
        return columns.faults(spec, folder)

    def read_as(self, spec: ModelSpec) -> str:
        settings = spec.data.csv.model_dump(exclude_defaults=True)
        said = ", ".join(
            f"{name} {', '.join(value) if isinstance(value, dict | tuple | list) else repr(value)}" for name, value in settings.items()
        )
        return f"A CSV is read with {said}." if said else "A CSV is read as UTF-8, with commas between fields and points before decimals."

    def runtimes(self, step: str, spec: ModelSpec) -> tuple[str, ...]:
        """Plans are built in TensorRT's environment, and without it the others are, unless the spec insists."""
        if step in ("train", "trial"):
            return (spec.train.runtime,)
        if step not in PLANS or not _plans(spec) or spec.optimize.resources is None:
            return (RUNTIME,)
        return (TENSORRT,) if spec.optimize.tensorrt.required else (TENSORRT, RUNTIME)

    def tasks(self, spec: Spec) -> frozenset[str]:
        return super().tasks(spec) | searched.tasks(spec) | frozenset(["labelling"] if spec.label is not None else [])

    def gpu_is_optional(self, step: str, spec: ModelSpec) -> bool:
        return step in PLANS and _plans(spec) and not spec.optimize.tensorrt.required

    def production(self, spec: ModelSpec) -> ProductionRows | None:
        return spec.data.production

    def labelled(self, spec: ModelSpec) -> bool:
        """Labels of logged rows are learnt from as feedback is, with the rows of production."""
        return spec.label is not None and spec.label.rows != LOG


def _plans(spec: ModelSpec) -> bool:
    return any(method.precision for method in spec.optimize.methods)
