"""Who may write what."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from include.release.returned import returned
from include.runtime.settings import REPO
from include.spec.names import DAGS
from lifecycle.api.result_guard import OWN
from lifecycle.api.trigger_check import ROUTE
from tests.plugins.lifecycle.api.conftest import Api, verdict_body

REVISION = {"model": "digits", "version": 7, "state": "RUNNING"}
OURS = {"connection_id": "updraft_mlflow", "conn_type": "http", "host": "http://elsewhere"}
THEIRS = {"connection_id": "warehouse", "conn_type": "http", "host": "http://warehouse"}
CONNECTIONS = "/api/v2/connections"
MASK = {"update_mask": "description"}


@pytest.mark.parametrize("user", ["anna", "olaf", "vera"])
@pytest.mark.parametrize("path", ["verdicts", "looks", "revisions"])
def test_no_person_writes_what_runs_have_found(api: Api, path: str, user: str) -> None:
    body: dict[str, Any] = {"verdicts": verdict_body("return", returned(1, 2, "anna"), "r"), "revisions": REVISION}.get(path, {})
    answer = api.put(path, body, user)
    assert answer.status_code == 403 and answer.json()["detail"]


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "POST"])
@pytest.mark.parametrize("path", ["verdicts", "looks", "history"])
def test_nobody_takes_anything_away(api: Api, method: str, path: str) -> None:
    assert api.call(method, path, "updraft", params={"run_key": "r"}).status_code == 405


def test_the_service_keeps_a_revision_and_everybody_reads_it(api: Api) -> None:
    assert api.put("revisions", REVISION).status_code == 200
    assert [row["version"] for row in api.get("revisions?model=digits").json()] == [7]


ACTS: list[tuple[str, str, Any]] = [
    ("POST", CONNECTIONS, OURS),
    ("PATCH", f"{CONNECTIONS}/updraft_mlflow", OURS),
    ("PATCH", f"{CONNECTIONS}/updraft%5Fmlflow", OURS),
    ("DELETE", f"{CONNECTIONS}/updraft_api", None),
    ("POST", f"{CONNECTIONS}/test", OURS),
    ("PATCH", CONNECTIONS, {"actions": [{"action": "create", "entities": [THEIRS, OURS], "action_on_existence": "overwrite"}]}),
    ("PATCH", CONNECTIONS, {"actions": [{"action": "update", "entities": [OURS]}]}),
    ("PATCH", CONNECTIONS, {"actions": [{"action": "delete", "entities": ["updraft_gateway"]}]}),
]


@pytest.mark.parametrize(("method", "path", "body"), ACTS, ids=lambda part: str(part)[:60])
def test_an_operator_does_not_change_the_platforms_own_connections(api: Api, method: str, path: str, body: Any) -> None:
    answer = api.call(method, path, "olaf", json=body)
    assert answer.status_code == 403 and "updraft_" in answer.json()["detail"], answer.text
    assert api.get(f"{CONNECTIONS}/updraft_mlflow", "anna").status_code == 404, "there is one by now"


def test_an_operator_keeps_the_others_and_an_admin_all(api: Api) -> None:
    assert api.call("POST", CONNECTIONS, "olaf", json=THEIRS).status_code == 201
    changed = api.call("PATCH", f"{CONNECTIONS}/warehouse", "olaf", json=THEIRS | {"description": "ours"}, params=MASK)
    assert changed.status_code == 200, changed.text
    assert api.call("DELETE", f"{CONNECTIONS}/warehouse", "olaf").status_code == 204
    gateway = OURS | {"connection_id": "updraft_gateway"}
    assert api.call("POST", CONNECTIONS, "anna", json=gateway).status_code == 201
    assert api.call("DELETE", f"{CONNECTIONS}/updraft_gateway", "anna").status_code == 204


def test_whoever_is_not_known_is_airflows_to_refuse(api: Api) -> None:
    assert api.call("PATCH", f"{CONNECTIONS}/updraft_mlflow", None, data=json.dumps(OURS)).status_code == 401


ANSWERS = [
    ("ui", "vera", 200),
    ("usage", "vera", 200),
    ("ui/models.js", "vera", 200),
    ("v1/verdicts", "vera", 200),
    ("v1/verdicts?limit=0", "vera", 422),
    ("v1/none", "vera", 404),
    ("v1/verdicts", None, 401),
    ("openapi.json", "vera", 200),
]


@pytest.mark.parametrize(("path", "user", "code"), ANSWERS)
@pytest.mark.parametrize("plugin", ["lifecycle", "gpu-pool"])
def test_every_answer_tells_browsers_what_it_may_not_do(api: Api, plugin: str, path: str, user: str | None, code: int) -> None:
    if plugin == "gpu-pool":
        path = {"usage": "ui", "ui/models.js": "ui/gpu_pool.js"}.get(path, path.replace("verdicts", "events"))
    answer = api.get(f"/{plugin}/{path}", user)
    assert answer.status_code == code, answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["X-Frame-Options"] == ("SAMEORIGIN" if path in ("ui", "usage") else "DENY")


def patched(api: Api, headers: dict[str, str]) -> int:
    """The status of re-pointing MLflow's connection, with headers as they are: clients that people use tidy them up."""
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=30)
    connection.request("PATCH", f"{CONNECTIONS}/updraft_mlflow", json.dumps(OURS), headers | {"content-type": "application/json"})
    return connection.getresponse().status


@pytest.mark.parametrize("spelled", ["Bearer  {}", "Bearer {} ", "bearer {}", "  Bearer {}"])
def test_an_operator_is_known_however_the_token_is_spelled(api: Api, spelled: str) -> None:
    """Airflow lets in a token with blanks around it: who guards a route must know its caller too."""
    assert patched(api, {"authorization": spelled.format(api.tokens["olaf"])}) in (401, 403)


def test_an_operator_is_known_by_the_cookie_beside_an_empty_header(api: Api) -> None:
    assert patched(api, {"authorization": "Bearer ", "cookie": f"_token={api.tokens['olaf']}"}) in (401, 403)


@pytest.mark.parametrize("dag", ["digits_lifecycle", "digits%5Flifecycle", "digits_rollback", "digits_batch", "digits_monitoring", "~"])
@pytest.mark.parametrize(("method", "entry"), [("PATCH", "/return_value"), ("DELETE", "/return_value"), ("POST", "")])
def test_an_operator_does_not_write_what_tasks_have_found(api: Api, dag: str, method: str, entry: str) -> None:
    path = f"/api/v2/dags/{dag}/dagRuns/r/taskInstances/evaluate/xcomEntries{entry}"
    answer = api.call(method, path, "olaf", json={"key": "return_value", "value": {"evaluation": "/tmp/mine.json"}})
    assert answer.status_code == 403 and "admin" in answer.json()["detail"], answer.text


def test_every_dag_of_a_model_is_guarded() -> None:
    kinds = {path.stem for path in (REPO / "dags").glob("*.py")} - {"serving_reconcile", "backup"} | {
        "labels"
    }  # the platform's own, a second of a file
    assert kinds == set(DAGS)
    assert {kind for kind in kinds if OWN.fullmatch(f"digits_{kind}")} == kinds
    assert {kind for kind in kinds if ROUTE.match(f"/api/v2/dags/digits_{kind}/dagRuns")} == kinds


def test_an_operator_does_not_write_what_tasks_remember(api: Api) -> None:
    path = "/api/v2/dags/digits_lifecycle/dagRuns/r/taskInstances/t/state-store/k"
    assert api.call("PUT", path, "olaf", json={"value": "1"}).status_code == 403


DESCRIPTIONS = ("/docs", "/redoc", "/openapi.json", "/execution/openapi.json?version=2025-04-28", "/execution/changelog", "/execution/docs")


@pytest.mark.parametrize("path", [*DESCRIPTIONS, "/auth/openapi.json", "/auth/docs", "/hitl-review/openapi.json"])
def test_a_stranger_is_told_no_apis_description(api: Api, path: str) -> None:
    """Each is made anew, and the server answers nobody else meanwhile."""
    assert requests.get(api.url + path, timeout=60).status_code in (401, 404)


def test_whoever_has_a_login_is_told(api: Api) -> None:
    assert api.get("/openapi.json", "vera").json()["paths"]


def test_results_of_other_dags_are_airflows_own_business(api: Api) -> None:
    path = "/api/v2/dags/others/dagRuns/r/taskInstances/t/xcomEntries/return_value"
    assert api.call("PATCH", path, "olaf", json={"value": 1}).status_code == 404
