"""Serving control by REST: what is refused and how, and what is kept of who did what."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from api_shared.problems import Refusal
from include.evidence.chain import Entry, Head, faults
from lifecycle.api.serving import change
from lifecycle.api.serving.datamodels import ServingModel
from tests.plugins.lifecycle.api.conftest import JSON, Api

WHY = {"why": "Because the test says so."}


def serving(api: Api, method: str, path: str, body: Any = None, user: str | None = "olaf", **more: Any) -> Any:
    data = {} if body is None else {"data": json.dumps(body), "headers": JSON}
    return api.call(method, f"/serving/v1/{path}", user, **data, **more)


def runs(api: Api, model: str, version: int) -> str:
    """A revision as a run of a lifecycle leaves it; its path."""
    for state in ("STARTING", "RUNNING"):
        assert api.put("revisions", {"model": model, "version": version, "state": state}).status_code == 200
    return f"models/{model}/revisions/{version}"


def stored(api: Api, query: str) -> list[Any]:
    with sqlite3.connect(api.database) as database:
        return database.execute(query).fetchall()


def test_what_a_run_has_deployed_shall_run_and_what_it_ended_shall_not(api: Api) -> None:
    path = runs(api, "signs", 1)
    row = serving(api, "GET", path, user="vera").json()
    assert (row["state"], row["wanted"], row["weight"]) == ("running", "running", 0)
    api.put("revisions", {"model": "signs", "version": 1, "state": "STOPPED"})
    assert serving(api, "GET", path, user="vera").status_code == 404


def test_stop_start_and_restart_are_written_down_with_who_and_why_in_the_chain(api: Api) -> None:
    path = runs(api, "digits", 21)
    done = [serving(api, "POST", f"{path}/{act}", WHY) for act in ("restart", "stop", "start")]
    assert [answer.status_code for answer in done] == [202] * 3, [answer.text for answer in done]
    history = serving(api, "GET", "models/digits/history", user="vera").json()
    mine = [(row["act"], row["who"], row["why"]) for row in history if row["version"] == 21]
    assert mine == [(act, "olaf", WHY["why"]) for act in ("start", "stop", "restart")]
    wanted = stored(api, "SELECT wanted, generation FROM updraft_desired WHERE model = 'digits' AND version = 21")
    assert wanted == [("running", 1)]
    page = api.get("history?limit=1000").json()
    while page["entries"][-1]["number"] < page["head"]["number"]:
        page["entries"] += api.get("history", params={"after": page["entries"][-1]["number"], "limit": 1000}).json()["entries"]
    assert list(faults([Entry(**row) for row in page["entries"]], Head(**page["head"]))) == []
    assert {"act"} <= {row["kind"] for row in page["entries"]}


def test_what_is_so_already_changes_nothing(api: Api) -> None:
    path = runs(api, "digits", 22)
    assert serving(api, "POST", f"{path}/start", WHY).json()["entry"] is None
    assert isinstance(serving(api, "POST", f"{path}/stop", WHY).json()["entry"], int)
    assert serving(api, "POST", f"{path}/stop", WHY).json()["entry"] is None


def test_a_viewer_changes_nothing_and_a_stranger_sees_nothing(api: Api) -> None:
    path = runs(api, "digits", 23)
    for act in ("start", "stop", "restart"):
        assert serving(api, "POST", f"{path}/{act}", WHY, user="vera").status_code == 403
    assert serving(api, "DELETE", path, params=WHY, user="vera").status_code == 403
    assert serving(api, "PUT", "models/digits/split", {"weights": {"1": 100}} | WHY, user="vera").status_code == 403
    assert serving(api, "GET", "models", user=None).status_code == 401


def test_a_preempted_revision_is_not_started_by_hand(api: Api) -> None:
    path = runs(api, "digits", 24)
    api.put("revisions", {"model": "digits", "version": 24, "state": "PREEMPTED"})
    answer = serving(api, "POST", f"{path}/start", WHY)
    assert answer.status_code == 409 and "waits for a GPU" in answer.json()["detail"]


BAD = [
    ("POST", "models/none/revisions/1/stop", WHY, 404, "no model 'none'"),
    ("POST", "models/digits/revisions/99/stop", WHY, 404, "Version 99 of digits is not deployed"),
    ("POST", "models/digits/revisions/0/stop", WHY, 422, "version"),
    ("POST", "models/digits/revisions/1/stop", {"why": "   "}, 422, "why"),
    ("POST", "models/digits/revisions/1/stop", {}, 422, "why"),
    ("POST", "models/../../etc/revisions/1/stop", WHY, 404, ""),
    ("PUT", "models/digits/split", {"weights": {"98": 100}} | WHY, 422, "no revision '98'"),
    ("PUT", "models/digits/split", {"weights": {"1": -5}} | WHY, 422, "weights"),
    ("POST", "models/digits/deploy", {"version": 4} | WHY, 503, "MLflow"),
    ("GET", "models/digits/revisions/1/logs?after=nonsense", None, 422, "after"),
]


@pytest.mark.parametrize(("method", "path", "body", "code", "says"), BAD)
def test_bad_input_is_refused_with_a_sentence_and_changes_nothing(
    api: Api, method: str, path: str, body: Any, code: int, says: str
) -> None:
    before = stored(api, "SELECT count(*) FROM updraft_serving_act")
    answer = serving(api, method, path, body)
    assert answer.status_code == code and says in answer.json()["detail"], answer.text
    assert stored(api, "SELECT count(*) FROM updraft_serving_act") == before


def test_a_stopped_version_gets_no_traffic_and_a_split_is_in_force_and_kept(api: Api) -> None:
    from dataclasses import replace

    from include.gateway.endpoint import Endpoint
    from include.gateway.gateway import Gateway
    from include.runtime.settings import Settings

    gateway = Gateway(replace(Settings.load(), home=api.database.parent / "updraft"))
    for version in (31, 32):
        runs(api, "digits", version)
        gateway.add_revision(Endpoint("digits", str(version), 20_000 + version))
    weights = {"weights": {"31": 75, "32": 25}} | WHY
    assert serving(api, "POST", "models/digits/revisions/32/stop", WHY).status_code == 202
    api_state = {"model": "digits", "version": 32, "state": "PREEMPTED"}
    api.put("revisions", api_state)
    answer = serving(api, "PUT", "models/digits/split", weights)
    assert answer.status_code == 409 and "version 32 is preempted" in answer.json()["detail"]
    api.put("revisions", api_state | {"state": "RUNNING"})
    answer = serving(api, "PUT", "models/digits/split", weights)
    assert answer.status_code == 200, answer.text
    split = gateway.split("digits")
    assert split is not None and dict(split.weights) == {"31": 75, "32": 25}
    last = serving(api, "GET", "models/digits/history?limit=1", user="vera").json()[0]
    assert last["act"] == "split" and last["body"]["after"]["weights"] == {"31": 75, "32": 25}
    answer = serving(api, "DELETE", "models/digits/revisions/32", params=WHY)  # no MLflow is here to say who is champion
    assert answer.status_code == 503 and "champion" in answer.json()["detail"]
    gateway.retire("digits")


def model(aliases: dict[str, int], **weights: int) -> ServingModel:
    shares = {name.removeprefix("v"): weight for name, weight in weights.items()}
    roles = {version: alias for alias, version in aliases.items()}
    common: dict[str, Any] = {"model": "digits", "wanted": "running", "message": "", "step": "none", "standby": False, "mirrored": False}
    common |= {"priority": 5, "target": "process", "backend": "triton", "endpoint": "", "tries": 0, "due": None}
    common |= {"ready": 1, "replicas": 1, "servers": []}
    rows = [
        common
        | {
            "version": int(name),
            "state": state,
            "alias": roles.get(int(name)),
            "weight": shares.get(name, 0),
            "updated_at": datetime.now(UTC),
        }
        for name, state in {"1": "running", "2": "running", "3": "stopped"}.items()
    ]
    about = {"model": "digits", "state": "running", "live": True, "task": "", "description": "", "priority": 5, "mirror": None}
    about |= {"aliases": aliases, "weights": shares, "fallback": None, "fallback_active": False, "revisions": rows}
    about |= {"replicas": {"wanted": 1, "least": 1, "most": 1, "who": "", "why": "", "at": None}}
    return ServingModel.model_validate(about, strict=False)


def refused(ask: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        ask()
    return refusal.value.code, refusal.value.detail


def test_a_champion_is_not_deleted_and_neither_is_what_has_traffic_or_is_part_of_a_trial() -> None:
    alone = model({"champion": 1}, v1=100)
    code, detail = refused(lambda: change._may_go(alone, alone.revisions[0]))
    assert code == 409 and "champion" in detail and "digits_rollback" in detail
    change._may_go(alone, alone.revisions[1])
    shared = model({"champion": 1}, v1=75, v2=25)
    assert "25 % of the traffic" in refused(lambda: change._may_go(shared, shared.revisions[1]))[1]
    trial = model({"champion": 1, "challenger": 2}, v1=90, v2=10)
    for row in trial.revisions[:2]:
        assert refused(lambda row=row: change._not_on_trial(trial, row.version, "stopped"))[0] == 409  # type: ignore[misc]
    change._not_on_trial(trial, 3, "stopped")


def test_only_what_runs_gets_traffic_and_none_is_moved_under_a_trial() -> None:
    assert "version 3 is stopped" in refused(lambda: change._splittable(model({"champion": 1}, v1=100), {"1": 50, "3": 50}))[1]
    trial = model({"champion": 1, "challenger": 2}, v1=90, v2=10)
    assert "on trial" in refused(lambda: change._splittable(trial, {"1": 100}))[1]


def test_only_a_version_that_gets_all_is_promoted_and_a_split_alone_leaves_the_champion() -> None:
    shared = model({"champion": 1}, v1=100)
    assert refused(lambda: change._promoted(shared, {"1": 50, "2": 50}, True))[0] == 422
    assert change._promoted(shared, {"2": 100}, False) is None and change._promoted(shared, {"1": 100}, True) is None


def test_a_model_is_scaled_within_its_spec_and_who_said_so_is_kept(api: Api) -> None:
    path = runs(api, "deaf", 24)
    done = serving(api, "POST", "models/deaf/scale", {"replicas": 2} | WHY)
    assert done.status_code == 202 and isinstance(done.json()["entry"], int), done.text
    assert serving(api, "POST", "models/deaf/scale", {"replicas": 2} | WHY).json()["entry"] is None
    said = serving(api, "GET", "models/deaf", user="vera").json()["replicas"]
    assert (said["wanted"], said["least"], said["most"], said["who"], said["why"]) == (2, 1, 3, "olaf", WHY["why"])
    last = serving(api, "GET", "models/deaf/history", user="vera").json()[0]
    assert (last["act"], last["who"], last["body"]["replicas"]) == ("scale", "olaf", {"before": 1, "after": 2})
    row = serving(api, "GET", path, user="vera").json()
    assert (row["ready"], row["replicas"], row["servers"]) == (1, 1, [])  # nobody asks it


def test_a_scale_beyond_the_spec_to_nothing_or_by_the_wrong_hands_is_refused(api: Api) -> None:
    runs(api, "digits", 25)
    only = serving(api, "POST", "models/digits/scale", {"replicas": 2} | WHY)
    assert only.status_code == 409 and "may have 1 server, not 2" in only.json()["detail"] and "serve.replicas" in only.json()["detail"]
    beyond = serving(api, "POST", "models/deaf/scale", {"replicas": 4} | WHY)
    assert beyond.status_code == 409 and "1 to 3 servers, not 4" in beyond.json()["detail"]
    nothing = serving(api, "POST", "models/deaf/scale", {"replicas": 0} | WHY)
    assert nothing.status_code == 409 and "stop its revisions" in nothing.json()["detail"]
    assert serving(api, "POST", "models/deaf/scale", {"replicas": 2} | WHY, user="vera").status_code == 403
    assert serving(api, "POST", "models/deaf/scale", {"replicas": 2} | WHY, user=None).status_code == 401
    assert serving(api, "POST", "models/nowhere/scale", {"replicas": 2} | WHY).status_code == 404
    assert serving(api, "POST", "models/deaf/scale", {"replicas": 2}).status_code == 422
    assert stored(api, "SELECT count(*) FROM updraft_scale WHERE replicas > 2 OR model = 'digits'") == [(0,)]
