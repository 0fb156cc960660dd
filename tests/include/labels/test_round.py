"""A round's tasks and its wait, against a real Label Studio, with tries that are killed in between."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pandas as pd
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from include.errors import InputError
from include.kinds.load import load
from include.labels import kept, project
from include.runtime.airflow_api import Refused
from lifecycle.labelling import Job
from lifecycle.operators import labelling as operators
from lifecycle.run import Run
from lifecycle.triggers import labelling as triggers
from lifecycle.triggers.labelling import LabelledTrigger
from tests.include.labels.conftest import annotate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
SPEC = """name: {0}
task: classification
data: {{source: known.csv, target: kind}}
label: {{rows: pool.csv, show: text, text: words, classes: [ham, spam], choose: [random], tasks: 4, control: 0.5}}
"""
KNOWN = pd.DataFrame({"words": [f"w{n}" for n in range(20)], "length": range(20), "kind": ["ham", "spam"] * 10})


class Api:
    """What the platform's API is told."""

    def __init__(self):
        self.told, self.runs = [], set()

    def call(self, method, path, json=None, **_):
        self.told.append((method, path, json))

    def post(self, path, body):
        if body["dag_run_id"] in self.runs:
            raise Refused("there", 409, "there", {}, where="airflow")
        self.runs.add(body["dag_run_id"])


@pytest.fixture
def round_of(server, model, tmp_path, monkeypatch):
    """Makes a round's job; the same id is the same round."""
    folder = tmp_path / model
    folder.mkdir()
    (folder / "model.yaml").write_text(SPEC.format(model))
    (folder / "train.py").write_text("def train(X, y, params): ...\n")
    (folder / "expectations.yaml").touch()
    KNOWN.to_csv(folder / "known.csv", index=False)
    pd.DataFrame({"words": [f"p{n}" for n in range(9)], "length": range(9)}).to_csv(folder / "pool.csv", index=False)
    api = Api()
    home = SimpleNamespace(labels=tmp_path / "labels", home=tmp_path, dvc_remote=str(tmp_path / "remote"), s3_environment={})
    monkeypatch.setattr(operators, "label_studio", server.client)
    monkeypatch.setattr(triggers, "label_studio", server.client)

    def made(run_id: str = "r1") -> Job:
        run = Run(f"{model}_labelling/{run_id}", folder / "model.yaml", load(folder / "model.yaml"), {})
        run.__dict__.update(settings=home, api=api, mlflow=SimpleNamespace(aliases=lambda _: {}))
        return Job.of(run)

    return made


def do(operator, job, **results):
    """One try of a task, whose earlier tasks have returned ``results``."""
    task = operator(task_id="task", spec_path=str(job.run.spec_path))
    context = {"ti": SimpleNamespace(xcom_pull=lambda task_ids: results[task_ids.replace("import", "imported")])}
    return task.round(job, context)


def begun(job):
    do(operators.Choose, job)
    return do(operators.Import, job)


def label_all(studio, number, choice="ham"):
    for task in studio.tasks(number):
        annotate(studio, task["id"], choice)


def test_a_round_from_its_choice_to_the_run_that_learns_from_it(round_of, studio):
    job = round_of()
    imported = begun(job)
    assert imported["new"] == 4
    label_all(studio, imported["project"])
    do(operators.Export, job)
    do(operators.Validate, job)
    found = do(operators.Keep, job)
    assert found["new"] == 4 and set(kept.read(job.rows)["label"]) == {'"ham"'}
    assert do(operators.Learn, job, snapshot=found)["run"].endswith("_lifecycle/labels__r1")
    verdicts = [told[2] for told in job.run.api.told if told[1] == "/lifecycle/v1/verdicts"]
    assert [(one["kind"], one["decision"]) for one in verdicts] == [("labels", "PASS")]
    assert "admin@" not in json.dumps(verdicts)


def test_every_task_tried_again_does_nothing_twice(round_of, studio):
    job = round_of()
    imported = begun(job)
    chosen = json.loads(job.file(operators.CHOSEN).read_text())
    assert begun(round_of()) == imported | {"new": 0} and json.loads(job.file(operators.CHOSEN).read_text()) == chosen
    label_all(studio, imported["project"])
    for _ in range(2):
        do(operators.Export, job)
        found = do(operators.Keep, job)
    assert found["new"] == 4  # the second try still knows what was new
    first, again = (do(operators.Learn, job, snapshot=found) for _ in range(2))
    assert first == again and len(job.run.api.runs) == 1


def test_the_next_round_asks_about_other_rows_and_the_last_one_says_that_none_is_left(round_of, studio):
    asked = []
    for run_id in ("r1", "r2", "r3"):
        job = round_of(run_id)
        imported = begun(job)
        asked.append({task["data"]["words"] for task in json.loads(job.file(operators.CHOSEN).read_text())["tasks"]})
        label_all(studio, imported["project"])
        do(operators.Export, job)
        do(operators.Keep, job)
    assert [len(words) for words in asked] == [4, 4, 1] and not asked[0] & asked[1] | asked[1] & asked[2]
    with pytest.raises(InputError, match="no row is left"):
        begun(round_of("r4"))


def test_nothing_labelled_stops_the_round_and_changes_nothing(round_of):
    job = round_of()
    begun(job)
    do(operators.Export, job)
    with pytest.raises(AirflowFailException, match="labelled rows: 0"):
        do(operators.Validate, job)
    assert not job.rows.exists()


def test_by_itself_an_export_of_nothing_is_skipped(round_of, studio):
    def again(job):
        return operators.Export(task_id="export", spec_path="x", by_itself=True).round(job, {})

    with pytest.raises(AirflowSkipException, match="no project yet"):
        again(round_of("r0"))
    with pytest.raises(InputError, match="has no project"):
        do(operators.Export, round_of("r0"))
    number = begun(round_of())["project"]
    with pytest.raises(AirflowSkipException, match="Nobody has labelled"):
        again(round_of("r2"))
    label_all(studio, number)
    assert again(round_of("r3"))["tasks"] == 4


def test_no_new_label_begins_no_run(round_of, studio):
    assert do(operators.Learn, round_of(), snapshot={"new": 0}) == {"run": ""}


def wait(job, number, **more):
    """What the round's wait comes to; its trigger as it is after a restart."""
    task = operators.Wait(task_id="wait", spec_path=str(job.run.spec_path))
    with pytest.raises(TaskDeferred) as deferred:
        task.round(job, {"ti": SimpleNamespace(xcom_pull=lambda task_ids: {"project": number})})
    _, kwargs = deferred.value.trigger.serialize()
    trigger = LabelledTrigger(**kwargs | {"poll_s": 0.05} | more)

    async def first():
        async for event in trigger.run():
            return event.payload

    return asyncio.run(asyncio.wait_for(first(), 60))


def test_the_wait_ends_when_all_is_labelled_or_its_time_is_over(round_of, studio):
    job = round_of()
    number = begun(job)["project"]
    assert wait(job, number, wait_s=0.0, begun_s=1.0) == {"labelled": 0, "tasks": 4}
    label_all(studio, number)
    assert wait(job, number) == {"labelled": 4, "tasks": 4}


def test_the_wait_sees_labels_that_come_while_it_waits_and_rows_that_people_skip(round_of, studio, monkeypatch):
    job = round_of()
    number = begun(job)["project"]
    ids = [task["id"] for task in studio.tasks(number)]
    looks = iter(range(99))

    def client():
        if (look := next(looks)) in (1, 2):
            annotate(studio, ids[look], "ham")
        elif look in (3, 4):
            studio.call("POST", f"/api/tasks/{ids[look % 4]}/annotations/", json={"result": [], "was_cancelled": True})
        return studio

    monkeypatch.setattr(triggers, "label_studio", client)
    assert wait(job, number) == {"labelled": 4, "tasks": 4} and next(looks) == 5


def test_a_server_that_is_away_ends_no_wait(round_of, studio, server, monkeypatch):
    job = round_of()
    number = begun(job)["project"]
    label_all(studio, number)
    closed = type(studio)("http://127.0.0.1:9", "t")
    clients = iter([closed, closed])
    monkeypatch.setattr(triggers, "label_studio", lambda: next(clients, studio))
    assert wait(job, number)["labelled"] == 4


def test_a_refused_token_and_a_deleted_project_end_the_wait_with_what_to_do(round_of, studio, server, monkeypatch):
    job = round_of()
    number = begun(job)["project"]
    studio.call("DELETE", f"/api/projects/{number}/")
    gone = wait(job, number)
    assert "was deleted by hand" in gone["refused"] and "Clear the task `import`" in gone["remedy"]
    with pytest.raises(AirflowFailException, match="was deleted by hand"):
        operators.Wait(task_id="wait", spec_path="x").over({}, gone)
    assert begun(round_of())["new"] == 4 and project.find(studio, job.run.model)["id"] != number
    monkeypatch.setattr(triggers, "label_studio", lambda: server.client("f" * 40))
    assert "refuses its token" in wait(job, number)["refused"]
