"""The tasks train, optimize and verify."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.errors import InputError
from include.spec.llm import LlmSpec
from include.spec.schema import ModelSpec
from include.verdict import Verdict
from lifecycle.operators.step import StepOperator
from lifecycle.run import Run
from lifecycle.targets import target_of

TENSORRT = "tensorrt"
"""The runtime that has TensorRT."""


class Train(StepOperator):
    """Calls the user's training function in its runtime; parameters, metrics and model go to MLflow."""

    part = "train"

    def __init__(self, **kwargs: Any) -> None:
        inputs = {"table": "validate_data.table", "mlflow_run_id": "validate_data.mlflow_run"}
        super().__init__(step="train", inputs=inputs, **kwargs)


class BuildsPlans(StepOperator):
    """A step that has to do with TensorRT's plans where the spec names some: in their runtime, on a GPU, or without both where the spec
    does not insist. The step then says why there is no plan."""

    part = "optimize"

    def runtime(self, run: Run) -> str:
        """`tensorrt` has all that the other runtime has; it is installed on demand only."""
        usual = super().runtime(run)
        if not _plans(run) or self._resources(run) is None:
            return usual
        try:
            target_of(run).identity(TENSORRT)
        except InputError as missing:
            if _required(run):
                raise
            self.log.warning("No TensorRT plan can be built: %s", missing)
            return usual
        return TENSORRT

    def gpu_is_optional(self, run: Run) -> bool:
        return _plans(run) and not _required(run)


def _plans(run: Run) -> bool:
    return isinstance(run.spec, ModelSpec) and any(method.precision for method in run.spec.optimize.methods)


def _required(run: Run) -> bool:
    return isinstance(run.spec, ModelSpec) and run.spec.optimize.tensorrt.required


class Optimize(BuildsPlans):
    """Exports the model to ONNX and builds the optimised candidates that the spec asks for; a language model's are its quantised forms."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(step="optimize", inputs={"table": "validate_data.table", "model": "train.model"}, **kwargs)

    def resolve(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        trained = self.pulled(context, "train")
        return super().resolve(run, context) | ({"adapter": str(trained["adapter"])} if "adapter" in trained else {})

    def runtime(self, run: Run) -> str:
        methods = run.spec.quantizations if isinstance(run.spec, LlmSpec) else ()
        return run.spec.serve.runtime_of_forms(methods) or super().runtime(run)


class Verify(BuildsPlans):
    """Compares every candidate with the original on golden inputs, measures it, and bundles the fastest that holds."""

    def __init__(self, **kwargs: Any) -> None:
        inputs = {
            "table": "validate_data.table",
            "mlflow_run_id": "validate_data.mlflow_run",
            "model": "train.model",
            "optimized": "optimize.folder",
        }
        super().__init__(step="verify", inputs=inputs, **kwargs)

    def resolve(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        evaluated = self.pulled(context, "evaluate")
        champion = evaluated.get("champion") if evaluated and isinstance(run.spec, ModelSpec) else None
        return super().resolve(run, context) | ({"champion": str(champion)} if champion else {})

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        result = super().run(run, context)
        verdict = Verdict.from_json(result["verdict"])
        run.keep("verify", verdict)
        self.insist(verdict)
        return result
