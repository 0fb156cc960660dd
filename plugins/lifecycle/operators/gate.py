"""The tasks evaluate and gate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.data.table import SUFFIXES
from include.errors import UpdraftError
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
            inputs |= self._snapshot(run, champion)
        result = self.run_step(run, inputs)
        return result | {"champion_version": champion, "champion": inputs.get("champion")}

    def _snapshot(self, run: Run, champion: int) -> dict[str, str]:
        """The table that the champion was made from; nothing when it is no table, or not kept any more, which the log says."""
        from include.data.snapshot import restore
        from include.data.store import DataStore

        tags = run.mlflow.tags(str(run.mlflow.version(run.model, champion)["run_id"]))
        md5, name = tags.get("updraft.data.md5"), tags.get("updraft.data.name", "")
        if md5 is None or Path(name).suffix not in SUFFIXES:
            return {}
        path = run.settings.home / "bundles" / run.model / f"snapshot-{md5}{Path(name).suffix}"
        try:
            return {"champion_table": str(path if path.exists() else restore(md5, DataStore.of(run.settings), path))}
        except UpdraftError as error:
            self.log.warning("What the champion has seen is not known: %s", error)
            return {}


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
