"""The tasks train, optimize and verify."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from include.registry.mlflow import CODE
from include.release import code
from include.verdict import Verdict
from lifecycle.operators.step import StepOperator
from lifecycle.run import Run


class Train(StepOperator):
    """Calls the user's training function in its runtime; parameters, metrics and model go to MLflow."""

    part = "train"

    def __init__(self, **kwargs: Any) -> None:
        inputs = {"table": "validate_data.table", "mlflow_run_id": "validate_data.mlflow_run"}
        super().__init__(step="train", inputs=inputs, **kwargs)

    def resolve(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        if found := self.pulled(context, "search"):
            self.params_found = dict(found["params"])
            self.log.info("Trains with what the search has found: %s", self.params_found)
        return super().resolve(run, context)

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        result = super().run(run, context)
        # For whoever compares two versions; the step itself has run the folder's files as they were when it began.
        mlflow_run = str(self.pulled(context, "validate_data")["mlflow_run"])
        run.mlflow.write(mlflow_run, CODE, json.dumps(code.texts(run.folder)).encode())
        return result


class Optimize(StepOperator):
    """Exports the model to ONNX and builds the optimised candidates that the spec asks for; a language model's are its quantised forms."""

    part = "optimize"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(step="optimize", inputs={"table": "validate_data.table", "model": "train.model"}, **kwargs)

    def resolve(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        trained = self.pulled(context, "train")
        return super().resolve(run, context) | ({"adapter": str(trained["adapter"])} if "adapter" in trained else {})


class Verify(StepOperator):
    """Compares every candidate with the original on golden inputs, measures it, and bundles the fastest that holds."""

    part = "optimize"

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
        champion = evaluated.get("champion") if evaluated else None
        return super().resolve(run, context) | ({"champion": str(champion)} if champion else {})

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        result = super().run(run, context)
        verdict = Verdict.from_json(result["verdict"])
        run.keep("verify", verdict)
        self.insist(verdict)
        return result
