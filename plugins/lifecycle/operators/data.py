"""The tasks base, validate_data and snapshot_data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from include import atomic
from include.labels import kept
from include.targets.target import step_of
from lifecycle.databases import database
from lifecycle.operators.base import LifecycleOperator
from lifecycle.operators.judge import judge_model
from lifecycle.operators.step import StepOperator
from lifecycle.run import Run


class Base(StepOperator):
    """Finds or makes what a language model is fine-tuned from, and looks whether it is whole; first, that a wanted judge can be asked."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(step="base", **kwargs)

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        if "judge" in run.kind.tasks(run.spec):
            judge_model(run.spec.evaluate.judge, run.settings)
        return super().run(run, context)


class ValidateData(StepOperator):
    """Extracts the source as a table, then checks it against the model's expectations; a failed one stops the run and says where."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(step="extract", **kwargs)

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        mlflow_run = run.mlflow_run()
        inputs = self.resolve(run, context) | self._production(run, context) | self._labelled(run) | self._queried(run, mlflow_run)
        extracted = self.run_step(run, inputs)
        self.log.info("Extracted %s rows to %s", extracted["rows"], extracted["table"])
        docs = step_of(run.settings, run.key, f"{run.kind.name}.{self.step}").folder.parent / "data_docs"  # where no step writes
        verdict = run.kind.check_data(extracted, run.spec, run.folder, docs)
        run.keep("data", verdict)
        run.mlflow.upload(mlflow_run, docs, "data_docs")
        self.insist(verdict)
        return extracted | {"mlflow_run": mlflow_run, "reasons": list(verdict.reasons)}

    def _production(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        """The labelled rows of production, of a spec that wants them: what there was when the run began, whichever try reads it."""
        wanted = run.kind.production(run.spec)
        if wanted is None:
            return {}
        path = self._own(run, "production")
        if not path.exists():
            from include import predictions
            from include.monitoring.labelled import labelled

            until = context["dag_run"].run_after
            labels = predictions.labels(run.settings, run.model)
            logged = predictions.read(run.settings, run.model, until - timedelta(days=wanted.days), until)
            found = labelled(logged, labels[labels["time"] < until], wanted.most_rows)
            atomic.write(path, found.to_parquet())
        return {"production": str(path)}

    def _labelled(self, run: Run) -> dict[str, str]:
        """What people had labelled when the run first asked, of a spec that wants it; nothing where there is nothing yet."""
        source = run.settings.labels / run.model / kept.FILE
        if not run.kind.labelled(run.spec) or not source.exists():
            return {}
        path = self._own(run, "labelled")
        if not path.exists():
            atomic.write(path, source.read_bytes())
        return {"labelled": str(path)}

    def _queried(self, run: Run, mlflow_run: str) -> dict[str, str]:
        """The rows that a model's query has returned to this run's first try; the query's text is on the MLflow run."""
        how = run.kind.query(run.spec, run.params)
        if how is None:
            return {}
        from include.data import query

        path = self._own(run, "queried")
        if not path.exists():
            text = query.read(run.folder / run.spec.data.source)
            rows = query.fetch(database(how.connection), text, how, path, f"data.source {run.spec.data.source}")
            self.log.info("%s: %s rows from %s", run.spec.data.source, f"{rows:,}", how.connection)
            run.mlflow.set_tags(mlflow_run, {"updraft.data.query": text[:5000], "updraft.data.connection": how.connection})
        return {"queried": str(path)}

    @staticmethod
    def _own(run: Run, name: str) -> Path:
        """A file of rows in the run's folder that no step writes. A link in its place, which a step that may write there (as pods may) has
        put there, is taken away."""
        path = step_of(run.settings, run.key, "").folder / name / "rows.parquet"
        for one in (path.parent, path):
            if one.is_symlink():
                one.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class SnapshotData(LifecycleOperator):
    """Keeps the exact bytes of the table under their hash, and the hash on the MLflow run."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        from include.data.snapshot import snapshot
        from include.data.store import DataStore

        extracted = self.pulled(context, "validate_data")
        kept = snapshot(Path(extracted["table"]), DataStore.of(run.settings), name=run.model)
        run.mlflow.set_tags(
            extracted["mlflow_run"],
            {"updraft.data.md5": kept.md5, "updraft.data.name": kept.name, "updraft.data.size_bytes": str(kept.size_bytes)},
        )
        self.log.info("Kept %s (%s bytes) as %s", kept.name, kept.size_bytes, kept.md5)
        return {"md5": kept.md5, "name": kept.name, "size_bytes": kept.size_bytes}
