"""MLflow's door with a real MLflow behind it: what a step needs passes, what is another's does not."""

import json
import subprocess
import sys
import textwrap

import pytest

from include.door.token import Grant, sign, try_tag
from include.registry.mlflow import REGISTERED
from include.runtime.settings import REPO
from tests.include.door.conftest import Doors

pytestmark = pytest.mark.integration
API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


def mlflow_program(doors: Doors, token: str, code: str, tmp_path) -> str:
    """What a program prints that uses the mlflow package as a step does."""
    environment = {"MLFLOW_TRACKING_URI": doors.url, "MLFLOW_TRACKING_TOKEN": token, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO)}
    environment |= {"HOME": str(tmp_path)}
    environment |= {"RUN": doors.own, "OTHER": doors.other, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def root(doors: Doors, run: str) -> str:
    return doors.server.client().run(run)["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")


def test_a_step_logs_to_its_run_and_stores_reads_and_forgets_models_as_the_mlflow_package_does_it(doors, tmp_path):
    code = """
        import os, pathlib, mlflow
        from mlflow.entities import Metric, Param
        from include.steps.tracking import Tracking
        class Model(mlflow.pyfunc.PythonModel):
            def predict(self, model_input: list[str]) -> list[str]:
                return model_input
        run = mlflow.start_run(run_id=os.environ["RUN"])
        own = Tracking(mlflow.MlflowClient(), run.info.run_id, run.info.experiment_id)
        own.params({"a": 1})
        own.metrics({"m": 0.5})
        own.tag("updraft.served_form", "onnx")
        mlflow.log_metric("by_user", 2.0)
        pathlib.Path("folder/deep").mkdir(parents=True)
        pathlib.Path("folder/deep/file 1+.txt").write_text("x" * 3_000_000)
        own.artifact(pathlib.Path("folder"), "kept")
        info = mlflow.pyfunc.log_model(name="model", python_model=Model(), pip_requirements=[])
        print([f.path for f in own.client.list_artifacts(own.run_id, "kept/deep")])
        print(len(pathlib.Path(mlflow.artifacts.download_artifacts(run_id=own.run_id, artifact_path="kept/deep/file 1+.txt")).read_text()))
        print(mlflow.artifacts.list_artifacts(info.model_uri)[0].path)
        own.forget_model("model")
        print(own.client.get_metric_history(own.run_id, "by_user")[0].value)
        mlflow.end_run("RUNNING")
    """
    said = mlflow_program(doors, doors.token(doors.own), code, tmp_path)
    assert "['kept/deep/file 1+.txt']\n3000000\nMLmodel\n2.0\n" in said
    found = doors.server.client().run(doors.own)
    assert found["info"]["status"] == "RUNNING" and {row["key"]: row["value"] for row in found["data"]["metrics"]}["m"] == 0.5


def test_another_runs_everything_is_refused(doors):
    admin, token = doors.server.client(), doors.token(doors.own)
    mine, theirs = root(doors, doors.own), root(doors, doors.other)
    experiment = str(admin.run(doors.own)["info"]["experiment_id"])
    secret = f"{FILES}/{theirs}/secret.txt"
    own = {"run_id": doors.own}
    tries = [
        ("GET", f"{API}/runs/get?run_id={doors.other}", None),
        ("GET", f"{API}/runs/get?run_id={doors.own}&run_id={doors.other}", None),
        ("GET", f"{API}/runs/get?run_id={doors.own}&run_uuid={doors.other}", None),
        ("GET", f"{API}/runs/get", {"run_id": doors.other}),
        ("POST", f"{API}/runs/set-tag?run_id={doors.other}", {**own, "key": "k", "value": "v"}),
        ("POST", f"{API}/runs/set-tag", {**own, "runId": doors.other, "key": "k", "value": "v"}),
        ("POST", f"{API}/runs/set-tag", {**own, "run_uuid": doors.other, "key": "k", "value": "v"}),
        ("POST", f"{API}/runs/set-tag", {"run_id": doors.other, "key": "k", "value": "v"}),
        ("POST", f"{API}/runs/set-tag", {**own, "key": "updraft.run_key", "value": "b/1"}),
        ("POST", f"{API}/runs/log-batch", {**own, "tags": [{"key": "updraft.gate", "value": "PASS"}]}),
        ("POST", f"{API}/runs/log-batch", {**own, "tags": [{"key": "Updraft.gate", "value": "PASS"}]}),
        ("POST", f"{API}/runs/set-tag", {**own, "key": " updraft.gate", "value": "PASS"}),
        ("PUT", f"{FILES}/{mine}/report.html", None),
        ("PUT", f"{FILES}/{mine}/data_docs/index.html", None),
        ("POST", f"{API}/runs/update", {**own, "status": "FINISHED"}),
        ("POST", f"{API}/runs/delete", own),
        ("POST", f"{API}/runs/create", {"experiment_id": experiment}),
        ("POST", f"{API}/runs/search", {"experiment_ids": [experiment]}),
        ("POST", f"{API}/logged-models", {"experiment_id": experiment, "name": "m", "source_run_id": doors.other}),
        ("POST", f"{API}/logged-models/search", {"experiment_ids": [experiment], "filter": "name LIKE '%'"}),
        ("POST", f"{API}/registered-models/alias", {"name": "a", "alias": "champion", "version": "1"}),
        ("POST", f"{API}/model-versions/create", {"name": "a", "source": secret, "run_id": doors.own}),
        ("GET", f"{API}/model-versions/search", None),
        ("GET", f"{API}/users/get?username=admin", None),
        ("POST", f"{API}/users/create", {"username": "eve", "password": "123456789012"}),
        ("GET", f"{API}/artifacts/list?run_id={doors.other}", None),
        ("GET", secret, None),
        ("PUT", f"{FILES}/{theirs}/planted.txt", None),
        ("DELETE", f"{FILES}/{mine}/secret.txt", None),
        ("GET", f"{FILES}/{mine}/../../{doors.other}/artifacts/secret.txt", None),
        ("GET", f"{FILES}/{mine}/..%2f..%2f{doors.other}/artifacts/secret.txt", None),
        ("GET", f"{FILES}/{mine}/%252e%252e/%252e%252e/{doors.other}/artifacts/secret.txt", None),
        ("GET", f"{FILES}//{theirs}/secret.txt", None),
        ("GET", f"{FILES}?path={theirs}", None),
        ("GET", f"{FILES}?path={mine}&path={theirs}", None),
        ("GET", FILES, None),
        ("GET", f"/ajax-api/2.0/mlflow/runs/get?run_id={doors.other}", None),
        ("GET", f"/get-artifact?path=secret.txt&run_uuid={doors.other}", None),
        ("POST", "/graphql", {"query": '{mlflowGetRun(input:{runId:"' + doors.other + '"}){run{info{runId}}}}'}),
        ("GET", "/", None),
    ]  # fmt: skip
    got = {f"{method} {path} {json.dumps(body)}": doors.call(token, method, path, json=body).status_code for method, path, body in tries}
    assert {attempt: status for attempt, status in got.items() if status != 403} == {}
    assert admin.read(doors.other, "secret.txt") == b"of " + doors.other.encode()
    assert "updraft.gate" not in admin.tags(doors.own) and admin.tags(doors.own)["updraft.run_key"] == "a/1"


def test_a_model_of_another_run_is_refused_and_one_that_was_given_can_be_read_only(doors, tmp_path):
    admin = doors.server.client()
    experiment = str(admin.run(doors.far)["info"]["experiment_id"])
    made = admin._post("logged-models", {"experiment_id": experiment, "name": "m", "source_run_id": doors.far})["model"]["info"]
    model, place = made["model_id"], made["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")
    version = admin.ensure_version("b", run_id=doors.far, source=admin.run(doors.far)["info"]["artifact_uri"], run_key="b/1", tags={})
    without, given = doors.token(doors.own), doors.token("", (f"models:/b/{version}",))
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("PATCH", "/tags")):
        body = None if method == "GET" else {}
        assert doors.call(without, method, f"{API}/logged-models/{model}{path}", json=body).status_code == 403, (method, path)
    assert doors.call(without, "PUT", f"{FILES}/{place}/MLmodel", data=b"x").status_code == 403
    assert doors.call(without, "GET", f"{API}/model-versions/get?name=b&version={version}").status_code == 403
    assert doors.call(given, "GET", f"{API}/model-versions/get?name=b&version={version}").status_code == 200
    read = doors.call(given, "GET", f"{FILES}/{root(doors, doors.far)}/secret.txt")
    assert read.content == b"of " + doors.far.encode()
    assert doors.call(given, "PUT", f"{FILES}/{root(doors, doors.far)}/secret.txt", data=b"x").status_code == 403
    code = "import mlflow, pathlib; print(pathlib.Path(mlflow.artifacts.download_artifacts('URI/secret.txt')).read_text())"
    code = code.replace("URI", f"models:/b/{version}")
    assert f"of {doors.far}" in mlflow_program(doors, given, code, tmp_path)


def test_only_a_token_of_this_platform_that_has_not_ended_opens_the_door(doors):
    path = f"{API}/runs/get?run_id={doors.own}"
    none = sign(Grant(doors.own), "x" * 32, 0, 1)
    for token in ("", "x", none, doors.token(doors.own, secret="y" * 64), doors.token(doors.own, lifetime_s=-1)):
        assert doors.call(token, "GET", path).status_code == 401
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + doors.token(doors.own).split(".")[1] + "."
    assert doors.call(unsigned, "GET", path).status_code == 401
    assert doors.call(doors.token(doors.own), "GET", path).status_code == 200
    assert doors.call(doors.token(doors.own), "POST", f"{API}/runs/set-tag", data=b"[" * 200_000).status_code == 400
    assert doors.call(doors.token(doors.own), "POST", f"{API}/runs/set-tag", data=b" " * (17 << 20)).status_code == 413


def test_a_token_that_outlives_its_run_writes_nothing_until_a_step_of_it_begins_again(doors):
    admin = doors.server.client()
    run = admin.ensure_run("updraft/a", "a/3", "a/3")
    token, place, experiment = doors.token(run), root(doors, run), str(admin.run(run)["info"]["experiment_id"])
    made = {"experiment_id": experiment, "name": "m", "source_run_id": run}
    model = doors.call(token, "POST", f"{API}/logged-models", json=made).json()["model"]["info"]
    models_place = model["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")

    def writes() -> list[tuple[int, str]]:
        tries = [
            doors.call(token, "POST", f"{API}/runs/set-tag", json={"run_id": run, "key": "k", "value": "v"}),
            doors.call(token, "POST", f"{API}/runs/update", json={"run_id": run, "status": "RUNNING"}),
            doors.call(token, "POST", f"{API}/logged-models", json=made),
            doors.call(token, "PATCH", f"{API}/logged-models/{model['model_id']}/tags", json={"tags": []}),
            doors.call(token, "PUT", f"{FILES}/{place}/bundle/model.onnx", data=b"x"),
            doors.call(token, "PUT", f"{FILES}/{models_place}/MLmodel", data=b"x"),
        ]
        return [(answer.status_code, answer.text) for answer in tries]

    assert [status for status, _ in writes()] == [200] * 6
    for close, words in (
        (lambda: admin.end_run(run, failed=False), "the run has ended (FINISHED)"),
        (lambda: admin.end_run(run, failed=True), "the run has ended (FAILED)"),
        (lambda: admin.set_tags(run, {REGISTERED: "yes"}), "the run's model is registered"),
    ):
        close()
        assert all(status == 403 and words in text for status, text in writes())
        assert doors.call(token, "GET", f"{API}/runs/get?run_id={run}").status_code == 200
        search = {"experiment_ids": [experiment], "filter": f"source_run_id='{run}'"}
        assert doors.call(token, "POST", f"{API}/logged-models/search", json=search).status_code == 200
        admin.open_run(run)
        assert [status for status, _ in writes()] == [200] * 6


def test_a_token_is_good_for_one_try_of_its_step_whatever_becomes_of_the_run(doors):
    mlflow, first, second = doors.server.client(), "train/1", "train/2"
    run = mlflow.ensure_run("updraft/a", "a/tries", "a/tries")
    body = {"run_id": run, "key": "m", "value": "1", "timestamp": 1}
    read = "/api/2.0/mlflow/runs/get?run_id=" + run

    def asked(attempt: str) -> list[int]:
        token = doors.token(run, attempt=attempt)
        return [
            doors.call(token, "POST", "/api/2.0/mlflow/runs/log-metric", json=body).status_code,
            doors.call(token, "GET", read).status_code,
        ]

    assert asked(first) == [403, 403]  # it has not begun
    mlflow.set_tags(run, {try_tag("train"): first})
    assert asked(first) == [200, 200] and asked("evaluate/1") == [403, 403]
    mlflow.end_run(run, failed=True)
    mlflow.open_run(run)  # the step was cleared
    mlflow.set_tags(run, {try_tag("train"): second, try_tag("evaluate"): "evaluate/1"})
    assert asked(first) == [403, 403]
    assert asked(second) == asked("evaluate/1") == [200, 200]
    forged = {"run_id": run, "key": try_tag("train"), "value": first}
    assert doors.call(doors.token(run, attempt=second), "POST", "/api/2.0/mlflow/runs/set-tag", json=forged).status_code == 403
