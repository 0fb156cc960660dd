"""The operators for DAGs of one's own, by the example that the documentation shows, against the real API and a gateway's real files."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from include.gateway.endpoint import Endpoint
from include.gateway.gateway import Gateway
from include.runtime.settings import REPO, Settings
from lifecycle.operators import serving as module
from lifecycle.operators.serving import DeployRevision, Reconcile, RunCanary, ScaleModel, SetTraffic, StopRevision, WaitForHealthy
from lifecycle.triggers import serving as triggers
from tests.plugins.lifecycle.api.conftest import Api

MODEL = "digits"


@pytest.fixture
def example() -> Any:
    spec = importlib.util.spec_from_file_location("release_by_hand", REPO / "docs" / "dags" / "release_by_hand.py")
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found.dag


@pytest.fixture
def site(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """Versions 41 and 42 at the gateway, as runs leave them; tasks call as the operator olaf."""
    for place in (module, triggers):
        monkeypatch.setattr(place, "airflow_api", lambda: api.client("olaf"))
    gateway = Gateway(replace(Settings.load(), home=api.database.parent / "updraft"))
    for version in (41, 42):
        state(api, version, "STARTING")
        gateway.add_revision(Endpoint(MODEL, str(version), 20_000 + version))
    state(api, 41, "RUNNING")
    gateway.set_split(MODEL, {"41": 100})
    yield gateway
    gateway.retire(MODEL)
    for version in (41, 42):
        state(api, version, "STOPPED")


def state(api: Api, version: int, named: str) -> None:
    assert api.put("revisions", {"model": MODEL, "version": version, "state": named}).status_code == 200


def ran(task: Any, **params: Any) -> Any:
    """What the task returns in a run with these params."""
    context: Mapping[str, Any] = {"dag_run": SimpleNamespace(dag_id="release_by_hand", run_id="r1"), "params": params}
    task.render_template_fields(context)
    return task.execute(context)


def test_the_example_releases_a_version_and_each_step_is_kept_with_its_run(api: Api, site: Gateway, example: Any) -> None:
    params = {"old": 41, "new": 42}
    assert ran(example.get_task("deploy"), **params)["entry"] is None  # a run has deployed it
    with pytest.raises(TaskDeferred) as deferred:
        ran(example.get_task("ready"), **params)
    assert deferred.value.trigger.path == "/serving/v1/models/digits/revisions/42"
    state(api, 42, "RUNNING")
    assert ran(example.get_task("ready"), **params)["state"] == "running"
    assert ran(example.get_task("tenth"), **params)["weights"] == {"41": 90, "42": 10}
    split = site.split(MODEL)
    assert split is not None and dict(split.weights) == {"41": 90, "42": 10}
    last = api.get("/serving/v1/models/digits/history?limit=1").json()[0]
    assert (last["who"], last["why"]) == ("olaf", "A tenth first. (run release_by_hand/r1, task tenth)")
    assert isinstance(ran(example.get_task("stop"), **params)["entry"], int)
    assert ran(example.get_task("stop"), **params)["entry"] is None  # again


def test_the_example_is_a_dag_whose_tasks_follow_each_other(example: Any) -> None:
    order = ["deploy", "ready", "tenth", "all_of_it", "stop"]
    assert [task.task_id for task in example.topological_sort()] == order
    assert example.get_task("all_of_it").promote


def test_traffic_to_what_does_not_run_fails_the_task_at_once_with_how(site: Gateway) -> None:
    with pytest.raises(AirflowFailException, match="version 42 is starting"):
        ran(SetTraffic(task_id="t", model=MODEL, weights={"41": 50, "42": 50}))
    with pytest.raises(AirflowFailException, match="is no percent"):
        ran(SetTraffic(task_id="t2", model=MODEL, weights={"41": "all"}))


@pytest.mark.parametrize("model", ["../../../lifecycle/v1/budgets/team/x?", "digits/../other", "digits\n", ""])
def test_what_a_template_has_made_of_a_model_leads_nowhere_else(site: Gateway, model: str) -> None:
    tasks = (StopRevision, WaitForHealthy, DeployRevision, RunCanary)
    for number, task in enumerate(tasks):
        with pytest.raises(AirflowFailException, match="is no model's name"):
            ran(task(task_id=f"m{number}", model="{{ params.model }}", version=41), model=model)
    with pytest.raises(AirflowFailException, match="is no model's name"):
        ran(SetTraffic(task_id="m9", model="{{ params.model }}", weights={"41": 100}), model=model)


def test_a_stopped_version_is_not_waited_for(site: Gateway) -> None:
    ran(StopRevision(task_id="s", model=MODEL, version=42))
    with pytest.raises(AirflowFailException, match="stopped on purpose"):
        ran(WaitForHealthy(task_id="w", model=MODEL, version=42))


def test_reconcile_shows_what_is_not_as_it_is_wanted_and_repairs_by_hand(api: Api, site: Gateway) -> None:
    found = ran(Reconcile(task_id="show", model="{{ params.model }}"), model=MODEL)
    assert [(row["version"], row["state"], row["wanted"]) for row in found if row["version"] == 42] == [(42, "starting", "running")]
    ran(Reconcile(task_id="repair", model=MODEL, why="The disk has room.", repair=True))
    assert api.get("/serving/v1/models/digits/history?limit=1").json()[0]["act"] == "repair"


def test_a_dag_scales_a_model_within_its_spec_and_no_further(api: Api, site: Gateway) -> None:
    assert api.put("revisions", {"model": "deaf", "version": 1, "state": "STARTING"}).status_code == 200
    task = {"task_id": "scale", "model": "deaf", "why": "The sale begins."}
    done = ran(ScaleModel(replicas="{{ params.count }}", **task), count=3)
    assert done["replicas"] == 3 and isinstance(done["entry"], int)
    said = api.client("olaf").get("/serving/v1/models/deaf")["replicas"]
    assert said["wanted"] == 3 and said["why"] == "The sale begins. (run release_by_hand/r1, task scale)"
    for wrong, words in (("9", "1 to 3 servers, not 9"), ("many", "no number of servers")):
        with pytest.raises(AirflowFailException, match=words):
            ran(ScaleModel(replicas=wrong, **task))
