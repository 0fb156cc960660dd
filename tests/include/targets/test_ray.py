"""Target Ray: a real Ray on loopback, whose job API starts steps of two workers that train together, are found again and killed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from include.errors import ComponentError, InputError
from include.runtime.settings import REPO, Settings
from include.steps.context import StepRequest
from include.targets.ray import RayPlace, RayTarget
from include.targets.target import StepState, step_of
from tests.include.targets.gangs import Pair, light
from tests.ports import free_port
from tests.waiting import ended, until

PYTHON = os.environ.get("UPDRAFT_TEST_RAY", "")
needs_ray = pytest.mark.skipif(
    not PYTHON, reason="UPDRAFT_TEST_RAY not set: a Python 3.11 with ray[default] and the llm runtime's packages"
)

PATIENT = {
    "RAY_DISABLE_MEMORY_MONITOR": "1",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_health_check_initial_delay_ms": "300000",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_health_check_failure_threshold": "20",
}
"""On a busy machine Ray ends itself because one of its processes began too late."""


@pytest.fixture(scope="module")
def place() -> Iterator[RayPlace]:
    home = Path(tempfile.mkdtemp(prefix="r-"))
    port, dashboard = free_port(), free_port()
    command = [PYTHON, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--temp-dir={home}", "--num-cpus=4"]
    command += ["--object-store-memory=80000000", "--disable-usage-stats"]
    environment = os.environ | PATIENT | {"PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}"}
    with (home / "head.log").open("w") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    place = RayPlace(f"http://127.0.0.1:{dashboard}", "", PYTHON, str(REPO))
    try:
        until(lambda: answers(place) or head.poll() is not None, 240)
        assert head.poll() is None, (home / "head.log").read_text()
        yield place
        assert head.poll() is None, (home / "head.log").read_text()
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(timeout=120)
        shutil.rmtree(home, ignore_errors=True)


def answers(place: RayPlace) -> bool:
    try:
        return requests.get(f"{place.url}/api/jobs/", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture
def settings(tmp_path) -> Settings:
    found = replace(Settings.load(), home=tmp_path / "home")
    found.steps.mkdir(parents=True)
    return found


def jobs(place: RayPlace, name: str) -> list[str]:
    return [job["status"] for job in requests.get(f"{place.url}/api/jobs/", timeout=10).json() if job["submission_id"] == name]


def finish(target: RayTarget, step) -> StepState:
    until(lambda: target.state(step) is not StepState.RUNNING, 400)
    return target.state(step)


def log_of(step) -> str:
    path = step.folder / "log.txt"
    return path.read_text() if path.exists() else "no log"


@needs_ray
def test_two_workers_train_one_model_on_ray_and_a_killed_one_restarts_both(place, settings, tmp_path):
    import mlflow

    url = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(url)
    run = client.create_run(client.create_experiment("one", artifact_location=str(tmp_path / "artifacts"))).info.run_id
    pair = Pair(tmp_path / "models", "killed", run)
    target = RayTarget(settings, place)
    step = target.submit(replace(pair.request, launcher="ray"), "llm", {"MLFLOW_TRACKING_URI": url, "SECRET": "not to be seen"})
    assert finish(target, step) is StepState.SUCCEEDED, log_of(step)
    assert "not to be seen" not in requests.get(f"{place.url}/api/jobs/", timeout=10).text
    log, result = log_of(step), target.result(step)
    assert Path(result["model"]).is_file() and result["metrics"]["accuracy"] > 0.5
    assert "[rank 1] begins at step 0 of 20, 2 workers" in log and "start again from their checkpoints (1 of 3)" in log
    assert jobs(place, step.name) == []


@needs_ray
def test_a_new_airflow_worker_finds_the_job_and_a_cleared_task_ends_all_of_it(place, settings, tmp_path):
    request = replace(light(tmp_path / "models", "waits"), launcher="ray")
    step = RayTarget(settings, place).submit(request, "llm")
    begun = step.folder.parent / "checkpoints"
    until(lambda: len([path for path in begun.glob("*/begun-?") if path.read_text()]) == 2, 240)
    running = [int(path.read_text()) for path in begun.glob("*/begun-?")]
    again = RayTarget(settings, place)
    assert again.submit(request, "llm") == step and jobs(place, step.name) == ["RUNNING"]
    assert again.state(step) is StepState.RUNNING
    again.kill(step)
    until(lambda: all(ended(process) for process in running), 60)
    assert jobs(place, step.name) == [] and again.state(step) is StepState.FAILED


@needs_ray
def test_what_a_worker_raises_is_the_steps_error(place, settings, tmp_path):
    target = RayTarget(settings, place)
    step = target.submit(replace(light(tmp_path / "models", "raises"), launcher="ray"), "llm")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match="the last one has had enough"):
        target.result(step)


@needs_ray
def test_an_interpreter_that_is_not_there_is_named(place, settings, tmp_path):
    target = RayTarget(settings, replace(place, python="/no/such/python"))
    step = target.submit(replace(light(tmp_path / "models", "raises"), launcher="ray"), "llm")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match="Ray could not start it") as told:
        target.result(step)
    assert "updraft_ray" in told.value.where


def test_a_job_api_that_is_away_is_named(settings, tmp_path):
    target = RayTarget(settings, RayPlace(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ComponentError, match="gives no answer") as told:
        target.submit(StepRequest("table.extract", "a/b", str(tmp_path), {}, workers=2, launcher="ray"), "llm")
    assert "updraft_ray" in told.value.remedy


def test_a_job_api_that_has_just_gone_away_says_nothing_about_its_jobs(settings, tmp_path):
    target = RayTarget(settings, RayPlace(f"http://127.0.0.1:{free_port()}"), patience_s=1.0)
    step = step_of(settings, "a/b", "table.train")
    target._seen[step.name] = time.monotonic() - 60, {"status": "RUNNING"}
    assert target.state(step) is StepState.RUNNING and "gives no answer" in target.says(step)

    def given_up() -> bool:
        try:
            target.state(step)
        except ComponentError:
            return True
        return False

    until(given_up, 30)


@pytest.mark.parametrize(("url", "extra", "says"), [("", {}, "names no host"), ("http://a", {"python": 3}, "python is 3")])
def test_a_connection_that_makes_no_sense_is_refused_by_its_field(url, extra, says):
    with pytest.raises(InputError, match=says) as told:
        RayPlace.of(url, "", extra)
    assert "updraft_ray" in told.value.where
