"""The tasks of a round of labelling: choose, import, wait, export, validate, snapshot, and the run of the lifecycle that learns from it.

Each looks at what is there and does what is missing. What a round has chosen, and what it has exported, are files of its own, written once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.exceptions import AirflowSkipException

from include import atomic
from include.errors import InputError
from include.kinds.load import load
from include.labels import gain as paying
from include.labels import kept, project, verdict
from include.labels.choose import choose
from include.labels.export import Read, by_person, read
from include.labels.tasks import task
from include.runtime.airflow_api import Refused
from include.spec.label import LOG, Strategy
from lifecycle.labelling import Job, label_studio
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run, told
from lifecycle.triggers.labelling import LabelledTrigger

CHOSEN, EXPORT, BEFORE = "chosen.json", "export.json", "before.parquet"
CONFLICT = 409
MOST_TOLD = 5000
"""Labels of one call to feedback."""


class LabellingOperator(LifecycleOperator):
    """A task of a round, whose spec is the file's as it is now: a round belongs to no run of the lifecycle."""

    def execute(self, context: Any) -> Any:
        with told():
            dag_run, path = context["dag_run"], Path(self.spec_path)
            run = Run(f"{dag_run.dag_id}/{dag_run.run_id}", path, load(path), dict(context["params"]))
            try:
                return self.round(Job.of(run), context)
            except InputError as error:
                self._keep_stopped(run, error)
                raise

    def round(self, job: Job, context: Mapping[str, Any]) -> Any:
        """Do the task for a model's labelling."""
        raise NotImplementedError


class Choose(LabellingOperator):
    """Chooses the rows that people are asked about, and has the champion answer them."""

    def round(self, job: Job, context: Mapping[str, Any]) -> dict[str, Any]:
        path = job.file(CHOSEN)
        if not path.exists():
            from lifecycle.labelling_rows import candidates, champion_of

            champion = champion_of(job)
            found = candidates(job, champion, self.log.info)
            count = int(job.run.params.get("tasks") or job.label.tasks)
            strategies = job.label.choose
            if not (paid := paying.read(job.gain)).goes_on:
                self.log.warning("%s", paid.why)
                strategies = (Strategy.RANDOM,)
            chosen = choose(found, count, strategies, job.label.control, job.run.key)
            model, key = job.run.model, job.run.key
            tasks = [task(one, job.label, job.control, model=model, run=key, champion=champion) for one in chosen]
            atomic.write(path, json.dumps({"champion": champion, "candidates": len(found), "tasks": tasks}))
        kept_round = json.loads(path.read_text())
        arms: dict[str, int] = {}
        for one in kept_round["tasks"]:
            arm = one["meta"]["updraft"]["arm"]
            arms[arm] = arms.get(arm, 0) + 1
        self.log.info("%s of %s rows are asked about: %s", len(kept_round["tasks"]), kept_round["candidates"], arms)
        if not kept_round["tasks"]:
            remedy = "Wait for new ones, or name others in `label.rows`."
            raise InputError("no row is left that nobody has labelled.", where="label.rows", remedy=remedy)
        return {"tasks": len(kept_round["tasks"]), "arms": arms, "champion": kept_round["champion"]}


class StudioLink(BaseOperatorLink):
    """The button "Label Studio" on the task, in Airflow's UI: where people label."""

    name = "Label Studio"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(getattr(operator, "studio_url", ""))


class Import(LabellingOperator):
    """Makes the project or finds it, and has Label Studio know the round's tasks, each once."""

    operator_extra_links = (StudioLink(),)

    def round(self, job: Job, context: Mapping[str, Any]) -> dict[str, Any]:
        chosen = json.loads(job.file(CHOSEN).read_text())
        studio = label_studio()
        number, said = project.ensure(studio, job.wanted)
        for sentence in said:
            self.log.info(sentence)
        version = f"version {chosen['champion']}" if chosen["champion"] is not None and job.label.preannotate else ""
        new, twice = project.fill(studio, number, chosen["tasks"], version)
        self.log.info("%s tasks are new, %s were there; %s doubles are taken away.", new, len(chosen["tasks"]) - new, twice)
        self.studio_url = address = f"{studio.url}/projects/{number}/data"
        self.log.info("People label at %s", address)
        return {"project": number, "new": new, "address": address}


class Wait(LabellingOperator):
    """Deferred, so that no worker is held, until so many of the round's tasks are labelled, or for as long as the spec says."""

    def round(self, job: Job, context: Mapping[str, Any]) -> Any:
        keys = [one["data"]["updraft_key"] for one in json.loads(job.file(CHOSEN).read_text())["tasks"]]
        imported = self.pulled(context, "import")
        self.defer(
            trigger=LabelledTrigger(
                project=int(imported["project"]),
                keys=keys,
                enough=job.label.enough,
                annotators=job.label.annotators,
                wait_s=job.label.wait_hours * 3600,
            ),
            method_name="over",
            timeout=timedelta(hours=job.label.wait_hours + 24),
        )

    def over(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Called with the trigger's event when the round is over."""
        with told():
            if event.get("refused"):
                raise InputError(str(event["refused"]), where="Label Studio", remedy=str(event.get("remedy") or ""))
            self.log.info("%s of %s tasks are labelled.", event["labelled"], event["tasks"])
            return {"labelled": event["labelled"], "tasks": event["tasks"]}


class Export(LabellingOperator):
    """Fetches all that has been labelled in the model's project, of whichever round. ``by_itself``: nobody waits for it, and where there is
    nothing yet it is skipped, and what follows."""

    def __init__(self, *, by_itself: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by_itself = by_itself

    def round(self, job: Job, context: Mapping[str, Any]) -> dict[str, Any]:
        path = job.file(EXPORT)
        studio = label_studio()
        found = project.find(studio, job.run.model)
        if found is None and self.by_itself:
            raise AirflowSkipException("There is no project yet: no round has begun.")
        if found is None:
            remedy = "A round makes it: trigger the DAG, or clear its task `import` where it was deleted by hand."
            raise InputError(f"has no project of {job.run.model}.", where=f"Label Studio at {studio.url}", remedy=remedy)
        number = int(found["id"])
        tasks = studio.export(number)
        if not tasks and self.by_itself:
            raise AirflowSkipException("Nobody has labelled anything yet.")
        atomic.write(path, json.dumps({"project": number, "people": studio.people(), "tasks": tasks}))
        self.log.info("%s tasks of project %s are labelled.", len(tasks), number)
        return {"project": number, "tasks": len(tasks)}


def exported(job: Job) -> tuple[Read, int]:
    """Return this run's export as it is understood, and the project that it is of."""
    found = json.loads(job.file(EXPORT).read_text())
    people = {int(number): name for number, name in found["people"].items()}
    number = int(found["project"])
    return read(found["tasks"], job.label, job.control, model=job.run.model, project=number, people=people), number


class Validate(LabellingOperator):
    """Judges the labels: whether there are any, whether people agree, whether they can be read. A failed one stops the round."""

    def round(self, job: Job, context: Mapping[str, Any]) -> dict[str, Any]:
        found, _ = exported(job)
        decided = verdict.decide(verdict.evidence(found, job.label, numbers=job.numbers))
        job.run.keep(verdict.KIND, decided)
        for who, count in by_person(found.rows).items():
            self.log.info("%s has labelled %s rows.", who, count)
        self.insist(decided)
        return {"rows": len(found.rows), "reasons": list(decided.reasons)}


class Keep(LabellingOperator):
    """Keeps who has labelled what and when as a file, its bytes under their hash as any data; tells feedback of labels of logged rows."""

    def round(self, job: Job, context: Mapping[str, Any]) -> dict[str, Any]:
        from include.data.snapshot import snapshot
        from include.data.store import DataStore

        found, number = exported(job)
        if not job.file(BEFORE).exists():  # a try that was killed may have kept them already
            kept.write(kept.read(job.rows), job.file(BEFORE))
        before = kept.read(job.file(BEFORE))
        now = kept.merged(before, kept.table(found.rows, number), number)
        kept.write(now, job.rows)
        taken = snapshot(job.rows, DataStore.of(job.run.settings), name=f"{job.run.model}_labels")
        if job.label.rows == LOG:
            self._tell(job, found)
        new = kept.changed(before, now)
        self.log.info("%s rows are labelled, %s of them anew; kept as %s", int(now["label"].notna().sum()), new, taken.md5)
        return {"md5": taken.md5, "rows": len(now), "new": new}

    def _tell(self, job: Job, found: Read) -> None:
        """Labels of logged rows are feedback as any other: the model is watched by them, and learns from them with `data.production`."""
        labels = [{"id": row.request, "label": row.label} for row in found.rows if row.request and row.label is not None]
        labels.sort(key=lambda one: str(one["id"]))  # which is by time: ids of neighbouring hours are looked up together
        for begin in range(0, len(labels), MOST_TOLD):
            body = {"labels": labels[begin : begin + MOST_TOLD], "unlogged": "skip"}
            told_of = job.run.api.post(f"/lifecycle/v1/models/{job.run.model}/feedback", body)
            self.log.info("Feedback: %s", told_of)


class Pays(LabellingOperator):
    """Reckons how many labels choosing has saved against drawing; where it does not pay, the next round draws. It never fails for what it
    finds, and nothing waits for it."""

    def round(self, job: Job, context: Mapping[str, Any]) -> dict[str, Any]:
        from lifecycle.labelling_gain import arms

        found = arms(job)
        gain = paying.decide(0, None, None) if found is None else paying.measure(*found)
        atomic.write(job.gain, json.dumps(asdict(gain)))
        self.log.info("%s", gain.why)
        dag_id, _, run_id = job.run.key.partition("/")
        job.run.api.call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"note": gain.why})
        return asdict(gain)


class Learn(LabellingOperator):
    """Begins a run of the lifecycle where there are new labels, once for this round."""

    def round(self, job: Job, context: Mapping[str, Any]) -> dict[str, Any]:
        new = int(self.pulled(context, "snapshot")["new"])
        if not new or not job.label.retrain:
            self.log.info("No run of the lifecycle: %s", "there is no new label." if not new else "`label.retrain` is off.")
            return {"run": ""}
        run_id = f"labels__{job.run.key.partition('/')[2]}"[:240]
        dag = f"{job.run.model}_lifecycle"
        note = f"Begun because of {new} new labels ({job.run.key})."
        body: dict[str, Any] = {"dag_run_id": run_id, "logical_date": None, "conf": {}, "note": note}
        try:
            job.run.api.post(f"/api/v2/dags/{dag}/dagRuns", body)
        except Refused as error:
            if error.status != CONFLICT:
                raise
        self.log.info("%s/%s learns from %s new labels.", dag, run_id, new)
        return {"run": f"{dag}/{run_id}"}
