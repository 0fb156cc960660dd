"""TensorRT plans as forms of a model: ``<method>.onnx`` in the plan's arithmetic, and beside it ``<method>/`` with the plan itself."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from include.bundles.signature import Signature, Tensor
from include.errors import ComponentError, UpdraftError
from include.kinds.forms.onnx_model import TensorModel, Tensors
from include.kinds.forms.optimizers import Built, Calibration, Unavailable
from include.pool.ask import mib
from include.runtime.settings import Settings
from include.spec.schema import OptimizeMethod, Spec
from include.tensorrt import forms, operators
from include.tensorrt.build import build, version
from include.tensorrt.gpu import Gpu, leased
from include.tensorrt.plan import MODEL, PLAN, SHEET, Batches, Key, Sheet

if TYPE_CHECKING:
    from onnx import ModelProto

LEAST, LEAST_FP8 = (7, 5), (8, 9)
"""Compute capability from which TensorRT runs at all, and from which GPUs have 8-bit floats (NVIDIA's support matrix)."""


@dataclass(frozen=True)
class PlanOptimizer:
    """Builds the plan of one method on the GPU that this step sees; ``caches`` is where what TensorRT has timed is kept."""

    method: OptimizeMethod
    spec: Spec
    caches: Path = field(default_factory=lambda: caches())

    @property
    def name(self) -> str:
        return self.method.value

    def build(self, plain: Path, out: Path, calibration: Calibration) -> Built | Unavailable:
        gpu = leased()
        if why := self._unfit(plain, gpu):
            return Unavailable(why)
        assert gpu is not None
        import onnx

        folder = out.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            made = self._form(onnx.load(plain), calibration)
            onnx.save(made, str(folder / MODEL))
            batches = Batches(self.spec.serve.at_once, self.spec.serve.preferred)
            workspace = max(int(mib(self.spec.optimize.tensorrt.workspace)), 1)
            build(folder / MODEL, folder, gpu, self.method.precision, batches, self.caches, workspace)
        except (forms.NoForm, UpdraftError) as error:
            shutil.rmtree(folder)
            return Unavailable(str(error).rstrip("."))
        shutil.copyfile(folder / MODEL, out)
        return Built(lossy=self.method is not OptimizeMethod.TENSORRT_FP32, plan=folder.name)

    def _unfit(self, plain: Path, gpu: Gpu | None) -> str:
        """Why there can be no plan, as far as it can be said before anything is built; empty when nothing stands against it."""
        spec, least = self.spec, LEAST_FP8 if self.method is OptimizeMethod.TENSORRT_FP8 else LEAST
        if why := str(spec.serve.no_plan):
            return why
        if spec.serve.resources is None:
            return "the server would have no GPU to run a plan on: give `serve.resources`"
        needs = f"an NVIDIA GPU of compute capability {least[0]}.{least[1]} or newer"
        if spec.optimize.resources and spec.optimize.resources.models:
            needs = f"an NVIDIA GPU ({' or '.join(spec.optimize.resources.models)})"
        if gpu is None:
            lacks = "and has none in its lease" if spec.optimize.resources else "and has no lease of one: give `optimize.resources`"
            return f"the step needs {needs}, {lacks}"
        if gpu.capability < least:
            return f"the step needs {needs}, and this is {gpu}"
        text = [tensor.name for tensor in _tensors(plain) if tensor.datatype == "BYTES"]
        return f"TensorRT knows no text, and the model's {text[0]} is text" if text else ""

    def _form(self, model: ModelProto, calibration: Calibration) -> ModelProto:
        """The model in the method's arithmetic. Raises NoForm."""
        plain = operators.plain(model)
        if foreign := operators.foreign(plain):
            raise forms.NoForm(f"TensorRT has no operator {', '.join(foreign)}")
        return forms.form(plain, self.method.precision, calibration, self.spec.optimize.tensorrt.quantizer)


class PlanModel(TensorModel):
    """A plan run here by TensorRT, as the server will run it."""

    def __init__(self, folder: Path, signature: Signature) -> None:
        from include.tensorrt.engine import Engine

        self.signature = signature
        self._engine = Engine(folder / PLAN, Sheet.read(folder / SHEET).batches)

    def run(self, tensors: Tensors) -> Tensors:
        return self._engine.run(tensors)


def here(folder: Path, rebuilt: Path) -> tuple[Path, str]:
    """The plan in ``folder`` or, when it was built for another GPU or TensorRT, built anew at ``rebuilt``: its folder, and where it runs.

    Raises UpdraftError when there is no GPU here, or it can't be built.
    """
    gpu = leased()
    if gpu is None:
        raise ComponentError("there is no NVIDIA GPU in the step's lease")
    sheet = Sheet.read(folder / SHEET)
    if why := sheet.unfit(Key(gpu, version()), folder / PLAN, folder / MODEL):
        print(f"{folder.name}: the plan is built anew: {why}", flush=True)
        shutil.rmtree(rebuilt, ignore_errors=True)
        rebuilt.mkdir(parents=True)
        shutil.copyfile(folder / MODEL, rebuilt / MODEL)
        build(rebuilt / MODEL, rebuilt, gpu, sheet.precision, sheet.batches, caches(), sheet.workspace_mib)
        folder = rebuilt
    return folder, f"{gpu}, TensorRT {version()}"


def caches() -> Path:
    """Where timing caches are kept: below Updraft's home, or with the step's checkpoints where that may not be written (a container)."""
    home = Settings.load().home
    kept = os.environ.get("UPDRAFT_CHECKPOINTS")
    return home / "tensorrt" if os.access(home, os.W_OK) or not kept else Path(kept)


def _tensors(plain: Path) -> list[Tensor]:
    found = Signature.from_onnx(plain)
    return [*found.inputs, *found.outputs]
