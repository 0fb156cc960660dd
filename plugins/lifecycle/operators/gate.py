"""The tasks evaluate and gate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.registry.mlflow import CHAMPION
from include.release import bundle as bundles
from lifecycle.operators.base import LifecycleOperator
from lifecycle.operators.step import StepOperator
from lifecycle.run import Run


class Evaluate(StepOperator):
    """Measures the new model on the held-out rows, and the champion, as it is served, on the same rows."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(step="evaluate", inputs={"table": "validate_data.table", "model": "train.model"}, **kwargs)

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        inputs = self.resolve(run, context) | {"mlflow_run_id": self.pulled(context, "validate_data")["mlflow_run"]}
        champion = run.mlflow.aliases(run.model).get(CHAMPION)
        if champion is not None:
            bundle = bundles.fetch(run.mlflow, run.model, champion, run.settings.home / "bundles")
            inputs |= {"champion": str(bundle), "champion_version": str(champion)}
        result = self.run_step(run, inputs)
        return result | {"champion_version": champion}


class Gate(LifecycleOperator):
    """Weighs the evaluation against the spec's rules; a challenger that fails any of them goes no further."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        from include.gates.evaluation import Evaluation
        from include.gates.gate import gate
        from include.gates.judgement import Judgement

        evaluated = self.pulled(context, "evaluate")
        evaluation = Evaluation.from_json(json.loads(Path(evaluated["evaluation"]).read_text()))
        judged = self.pulled(context, "judge")
        judgement = Judgement.from_json(json.loads(Path(judged["judgement"]).read_text())) if judged else None
        verdict = gate(evaluation, run.spec.gate, judgement)
        run.keep("gate", verdict)
        run.mlflow.set_tags(self.pulled(context, "validate_data")["mlflow_run"], {"updraft.gate": verdict.decision})
        self.insist(verdict)
        return {"decision": verdict.decision.value, "reasons": list(verdict.reasons)}
