"""The REST client, against a real server."""

import os
import signal
import threading
import uuid

import pytest
import requests

from include.errors import ComponentError, InputError
from include.registry.mlflow import CHALLENGER, CHAMPION, PREVIOUS, Mlflow
from include.runtime import family
from tests.waiting import ended, until

pytestmark = pytest.mark.integration


@pytest.fixture
def name():
    return f"m_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def run(client, name):
    return client.ensure_run(f"updraft/{name}", f"{name}_lifecycle/manual__1", "manual__1")


def version(client, name, run, key="k"):
    source = client.run(run)["info"]["artifact_uri"] + "/model"
    return client.ensure_version(name, run_id=run, source=source, run_key=key, tags={"colour": "red"})


def test_a_dag_run_has_one_mlflow_run_however_often_it_asks(client, name, run):
    again = client.ensure_run(f"updraft/{name}", f"{name}_lifecycle/manual__1", "manual__1")
    other = client.ensure_run(f"updraft/{name}", f"{name}_lifecycle/manual__2", "manual__2")
    assert again == run and other != run
    assert client.tags(run)["mlflow.runName"] == "manual__1"


@pytest.mark.parametrize("key", ["d/scheduled__2026-11-21T03:00:00+00:00", "d/with space", "d/ünï", "d/50%", "d/_x_"])
def test_every_run_id_that_airflow_allows_finds_its_run(client, name, key):
    first = client.ensure_run(f"updraft/{name}", key, "x")
    assert client.ensure_run(f"updraft/{name}", key, "x") == first


def test_tags_arrive(client, run):
    client.set_tags(run, {"a": "1", "long": "x" * 9000})
    assert client.tags(run)["a"] == "1" and len(client.tags(run)["long"]) == 5000


def test_a_metrics_history_comes_in_the_order_of_its_steps(client, run):
    rows = [{"key": "loss", "value": 1 / (step + 1), "timestamp": 1, "step": step} for step in (2, 0, 1)]
    client._post("runs/log-batch", {"run_id": run, "metrics": rows})
    assert client.history(run, "loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert client.history(run, "never") == []


@pytest.mark.parametrize(("failed", "status"), [(True, "FAILED"), (False, "FINISHED")])
def test_a_run_is_ended_as_it_went(client, run, failed, status):
    client.end_run(run, failed=failed)
    assert client.run(run)["info"]["status"] == status


def test_a_folder_comes_back_as_it_was(client, run, tmp_path):
    source = tmp_path / "source"
    wanted = {"a.txt": b"one", "sub/deep/b.bin": bytes(range(256)), "with space/ü %.txt": b"", "large": os.urandom(3_000_000)}
    for path, content in wanted.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    client.upload(run, source, "bundle")
    target = client.download(run, "bundle", tmp_path / "target")
    found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert found == wanted
    assert client.read(run, "bundle/a.txt") == b"one"


def test_an_artifact_is_replaced(client, run):
    client.write(run, "report.html", b"first")
    client.write(run, "report.html", b"second")
    assert client.read(run, "report.html") == b"second"


def test_an_artifact_that_is_not_there_is_the_callers_fault(client, run):
    with pytest.raises(InputError):
        client.read(run, "nothing.html")


def test_a_dag_run_registers_one_version_however_often_it_tries(client, name, run):
    first = version(client, name, run)
    assert version(client, name, run) == first
    assert version(client, name, run, key="other") == first + 1
    assert [row["version"] for row in client.versions(name)] == [str(first + 1), str(first)]
    assert client.version(name, first)["tags"]["colour"] == "red"


def test_aliases_move(client, name, run):
    assert client.aliases(name) == {}
    one, two = version(client, name, run, "1"), version(client, name, run, "2")
    client.set_alias(name, CHAMPION, one)
    client.set_alias(name, CHAMPION, two)
    client.set_alias(name, PREVIOUS, one)
    assert client.aliases(name) == {CHAMPION: two, PREVIOUS: one}
    client.delete_alias(name, PREVIOUS)
    client.delete_alias(name, CHALLENGER)
    assert client.aliases(name) == {CHAMPION: two}


def test_without_the_password_nothing_is_told(server, name):
    for password in ("", "wrong"):
        with pytest.raises(InputError, match="401"):
            server.client(password or "x").aliases(name)
    assert requests.get(f"{server.settings.mlflow_url}/api/2.0/mlflow/experiments/search", timeout=10).status_code == 401


def test_a_server_that_is_away_for_a_moment_is_waited_for(server, client, run):
    processes = family.family(str(server.settings.home), "mlflow")
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    again = threading.Timer(2, lambda: [os.kill(process, signal.SIGCONT) for process in processes])
    again.start()
    assert client.run(run)["info"]["run_id"] == run
    again.join()


def test_a_killed_server_comes_back_with_what_it_knew(server, client, name, run):
    made = version(client, name, run)
    client.set_alias(name, CHAMPION, made)
    processes = family.family(str(server.settings.home), "mlflow")
    os.kill(server.supervisor.info("mlflow")[1], signal.SIGKILL)
    until(lambda: all(ended(process) for process in processes))  # else what is left of it answers for a moment
    server.wait()
    assert client.aliases(name) == {CHAMPION: made}


def test_a_closed_port_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setattr("include.registry.mlflow.RETRIES", 0)
    with pytest.raises(ComponentError, match="make status"):
        Mlflow("http://127.0.0.1:1").aliases("x")


def test_the_password_is_in_no_error(server, monkeypatch):
    monkeypatch.setattr("include.registry.mlflow.RETRIES", 0)
    for url in ("http://127.0.0.1:1", server.settings.mlflow_url):
        with pytest.raises((ComponentError, InputError)) as told:
            Mlflow(url, "admin", "very-secret").run("none")
        assert "very-secret" not in str(told.value)


def test_a_run_and_its_version_say_what_became_of_them_in_an_experiment_of_machine_learning(client, name, run):
    number = version(client, name, run)
    client.rename(run, "digits v3 · ROLLED BACK", "**ROLLED BACK**: it did harm.")
    client.describe(name, number, "a version", "a model")
    assert client.run(run)["info"]["run_name"] == "digits v3 · ROLLED BACK"
    assert client.tags(run)["mlflow.note.content"] == "**ROLLED BACK**: it did harm."
    assert client.version(name, number)["description"] == "a version"
    found = client._get("experiments/get-by-name", {"experiment_name": f"updraft/{name}"})["experiment"]
    assert {"key": "mlflow.experimentKind", "value": "custom_model_development"} in found["tags"]
    assert client.ensure_run(f"updraft/{name}", f"{name}_lifecycle/manual__1", "manual__1") == run
