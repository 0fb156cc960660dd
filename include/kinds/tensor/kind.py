"""Models of named tensors: PyTorch, or an ONNX file that is brought; ONNX Runtime, Triton."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.kinds.rows.kind import RowsKind
from include.kinds.tensor import faults
from include.kinds.tensor.spec import TensorSpec
from include.spec.registered import is_registered

if TYPE_CHECKING:
    from include.spec.document import Fault

RUNTIME = "trainer"
"""The environment of all that is done with an ONNX file."""


class TensorKind(RowsKind):
    """``kind: tensor``."""

    name = "tensor"
    spec = TensorSpec
    checked = "profile"
    """Pictures and arrays are judged by what can be said of each in a number: ``<column>.width``, ``<column>.mean``, ..."""

    def faults(self, spec: TensorSpec) -> Iterator[Fault]:
        return faults.faults(spec)

    def file_faults(self, spec: TensorSpec, folder: Path) -> Iterator[Fault]:
        return faults.file_faults(spec, folder)

    def runtimes(self, step: str, spec: TensorSpec) -> tuple[str, ...]:
        """What is trained is trained and exported in one environment; from then on it is an ONNX file like one that is brought."""
        return (spec.train.runtime,) if step == "train" and spec.base is None else (RUNTIME,)

    def bases(self, spec: TensorSpec) -> tuple[str, ...]:
        """The version of MLflow's registry that is brought: the step may read it."""
        return (spec.base,) if spec.base is not None and is_registered(spec.base) else ()

    def sources(self, step: str, spec: TensorSpec, folder: Path, params: Mapping[str, Any]) -> tuple[Path, ...]:
        """The brought file, for ``train``. Pictures lie anywhere in the model's folder: ``extract`` depends on it all, and its source."""
        if step == "train" and spec.base is not None:
            return () if is_registered(spec.base) else (folder / spec.base,)
        if step == "extract" and spec.data.images:
            return (*super().sources(step, spec, folder, params), folder)
        return super().sources(step, spec, folder, params)
