"""The tasks of a batch: prepare, answer (one a shard) and collect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.registry.mlflow import CHAMPION
from include.spec.params import check_against
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run, told

if TYPE_CHECKING:
    from include.batch.form import BatchForm
    from include.batch.job import Job

SNAPSHOT = re.compile(r"snapshot(:(?P<md5>.*))?")


class BatchOperator(LifecycleOperator):
    """A task of a batch's run, whose params are those of the kind's form (:class:`include.batch.form.BatchForm`)."""

    def execute(self, context: Any) -> Any:
        with told():
            params, spec = dict(context["params"]), load(Path(self.spec_path))
            if problems := check_against(kind_of(spec).batch(spec).params, params):
                raise InputError("; ".join(problems), where="the run's params")
            run = context["dag_run"]
            key = f"{run.dag_id}/{run.run_id}"
            return self.run(Run(key, Path(self.spec_path), spec, params), context)

    def form(self, run: Run) -> BatchForm:
        """What is asked and kept."""
        return run.kind.batch(run.spec)

    def bundle(self, run: Run, version: int) -> Path:
        """The folder of a version that was deployed."""
        from include.release import bundle as bundles

        return bundles.fetch(run.mlflow, run.model, version, run.settings.home / "bundles")

    def folder(self, run: Run) -> Path:
        """Where the answers go."""
        from include.batch.job import output_of, place

        named = run.params["output"] or output_of(run.model, run.key.partition("/")[2])
        return place(named, run.settings.batch, "output")

    def job(self, run: Run) -> Job:
        from include.batch.job import Job

        return Job.read(self.folder(run))

    def champion(self, run: Run) -> int:
        """The version that answers. InputError when there is none."""
        champion = run.mlflow.aliases(run.model).get(CHAMPION)
        if champion is None:
            raise InputError(f"{run.model} has nothing in production.", where="the batch", remedy="Run its lifecycle first.")
        return int(champion)


class Prepare(BatchOperator):
    """Checks the input, line by line, and lays it out for the shards; their numbers are its result."""

    def run(self, run: Run, context: Mapping[str, Any]) -> list[int]:
        from include.batch.job import Job
        from include.gateway.metering import instance

        instance(run.params["instance"])
        champion, form = self.champion(run), self.form(run)
        folder, bundle = self.folder(run), self.bundle(run, champion)
        options = {name: run.params[name] for name in form.options if run.params[name] is not None}
        named, shards = run.params["input"], run.params["shards"]
        source = self._source(run, champion, form)
        job = Job.lay_out(folder, source, model=run.model, named=named, options=options, shards=shards, form=form, bundle=bundle)
        self.log.info(
            "%s requests for %s in %s shards, answered by version %s; answers in %s", job.lines, form.what, job.shards, champion, folder
        )
        return list(range(job.shards))

    def _source(self, run: Run, champion: int, form: BatchForm) -> Path:
        """The input as a file."""
        from include.batch.job import place

        snapshot = SNAPSHOT.fullmatch(run.params["input"])
        if snapshot is None:
            return place(run.params["input"], run.settings.batch, "input")
        from include.data.snapshot import restore
        from include.data.store import DataStore

        version = run.mlflow.version(run.model, champion)
        md5 = snapshot["md5"] or run.mlflow.tags(str(version["run_id"])).get("updraft.data.md5", "")
        return form.snapshot(restore(md5, DataStore.of(run.settings), run.settings.batch / ".snapshots" / md5))


class Answer(BatchOperator):
    """One shard, through the gateway, with the room that live traffic leaves. Killed, it goes on behind the last answer on disk."""

    def __init__(self, *, shard: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        from include.backends import options
        from include.batch import client
        from include.batch.ledger import Ledger
        from include.gateway.gateway import Gateway

        job, gateway, version = self.job(run), Gateway(run.settings), self.champion(run)
        form, endpoint = self.form(run), gateway.revisions(run.model).get(str(version))
        serve, _ = options.read(self.bundle(run, version))
        if endpoint is None or serve.kind != run.kind.name:
            where = f"gateway, version {version}"
            raise InputError(f"the champion of {run.model} serves no {form.what}.", where=where, remedy="Run the model's lifecycle.")
        target = client.BatchTarget(
            form,
            run.settings.gateway_url,
            gateway.batch_headers(str(version)),
            run.model,
            job.options,
            slots=serve.requests_at_once,
            active=lambda: gateway.admin.at_revision(endpoint.cluster),
            timeout_s=serve.request_timeout_s + 10,
        )
        start, stop = job.bounds(self.shard)
        with Ledger(job.ledger(self.shard)) as ledger:
            before = len(ledger.numbers)
            if before:
                self.log.info("Going on behind %s of %s lines.", before, stop - start)
            client.run(target, form.read(job.items, start, stop), ledger, run.params["concurrency"], self.log.info)
            return {"shard": self.shard, "lines": len(ledger.numbers), "before": before}


class Collect(BatchOperator):
    """Answers and errors in the input's order, and the report; it is also the run's note."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        job = self.job(run)
        report = job.collect(self.form(run), run.params["instance"])
        dag_id, _, run_id = run.key.partition("/")
        run.api.call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"note": f"{report} See {job.folder}"[:1000]})
        self.log.info("%s", report)
        return report.to_json() | {"output": str(job.folder)}
