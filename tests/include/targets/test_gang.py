"""Steps of several workers on target `process`: a real torchrun and real DistributedDataParallel on processors, killed and stopped."""

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import InputError
from include.platform import supervisord
from include.runtime import family
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from include.targets.process import ProcessTarget
from include.targets.target import StepState
from tests.include.targets.gangs import Pair, installed, light
from tests.ports import common_base
from tests.waiting import ended, until

pytestmark = [pytest.mark.integration, pytest.mark.skipif(not installed(), reason="runtime llm is not installed: make install-llm")]


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    settings = replace(Settings.load(), home=Path(tempfile.mkdtemp(prefix="ud-")).resolve(), port_base=common_base())
    supervisord.start(settings)
    yield settings
    Supervisor(settings).shutdown()
    assert family.family(str(settings.home)) == []
    shutil.rmtree(settings.home)


@pytest.fixture
def target(settings) -> Iterator[ProcessTarget]:
    yield ProcessTarget(settings)
    for program in Supervisor(settings).programs():
        Supervisor(settings).stop_program(program)


def mlflow_at(folder: Path) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/tracking/mlflow.db", "PYTHONDONTWRITEBYTECODE": "1"}


def run_in(folder: Path) -> str:
    import mlflow

    (folder / "tracking").mkdir()
    client = mlflow.MlflowClient(mlflow_at(folder)["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment("one", artifact_location=str(folder / "tracking" / "artifacts"))
    return str(client.create_run(experiment).info.run_id)


def checkpoints(step) -> Path:
    return next((step.folder.parent / "checkpoints").iterdir())


def begun(step) -> list[Path]:
    return [path / f"begun-{rank}" for rank in (0, 1) for path in (step.folder.parent / "checkpoints").iterdir()]


def workers(step) -> list[int]:
    return [int(path.read_text()) for path in begun(step)]


def finish(target, step) -> StepState:
    until(lambda: target.state(step) is not StepState.RUNNING, 180)
    return target.state(step)


def test_two_workers_train_one_model_and_a_killed_one_restarts_both_from_the_checkpoint(target, tmp_path):
    pair = Pair(tmp_path, "killed", run_in(tmp_path))
    # It logs to files here, not to the door.
    step = target.submit(replace(pair.request, keeps=[str(tmp_path / "tracking")]), "llm", mlflow_at(tmp_path))
    assert finish(target, step) is StepState.SUCCEEDED, (step.folder / "log.txt").read_text()
    log = (step.folder / "log.txt").read_text()
    result = target.result(step)
    assert Path(result["model"]).is_file() and result["metrics"]["accuracy"] > 0.5
    assert all(len((checkpoints(step) / f"begun-{rank}").read_text().split()) == 2 for rank in (0, 1))
    began = re.findall(r"^\[rank ([01])\] begins at step (\d+) of 20, 2 workers$", log, re.MULTILINE)
    assert {(rank, at) for rank, at in began[:2]} == {("0", "0"), ("1", "0")}
    assert {rank for rank, _ in began[2:]} == {"0", "1"} and all(10 <= int(at) <= 11 for _, at in began[2:]), began
    assert set(re.findall(r"listens (.*)$", log, re.MULTILINE)) == {"beyond loopback: []; its agent: []"}
    assert "A worker was killed: all 2 start again from their checkpoints (1 of 3)." in log


def test_what_a_worker_raises_is_the_steps_error_and_is_not_tried_again(target, tmp_path):
    step = target.submit(light(tmp_path, "raises"), "llm")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match=r"data\.py, line \d+: load\(\) raised ValueError: the last one has had enough"):
        target.result(step)
    assert "start again" not in (step.folder / "log.txt").read_text()


def test_asked_to_stop_all_workers_stop_and_may_save_and_a_killed_step_leaves_none(target, tmp_path, settings):
    request = light(tmp_path, "waits")
    step = target.submit(request, "llm", lease=("lease-1", time.monotonic() + 600))
    until(lambda: all(path.exists() and path.read_text() for path in begun(step)), 120)
    running = workers(step)
    target.ask_to_stop(step)
    assert finish(target, step) is StepState.FAILED
    assert all(ended(process) for process in running)
    assert all(path.with_name(f"{path.name}-saved").exists() for path in begun(step))
    for path in begun(step):
        path.unlink()
    assert target.submit(request, "llm") == step
    until(lambda: all(path.exists() and path.read_text() for path in begun(step)), 120)
    running = workers(step)
    os.kill(Supervisor(settings).info(step.name)[1], signal.SIGKILL)
    until(lambda: all(ended(process) for process in running), 30)
    assert finish(target, step) is StepState.FAILED


def test_a_runtime_without_torch_says_so(target, tmp_path):
    step = target.submit(light(tmp_path, "raises"), "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match=r"train\.workers: 2 workers need torch, which runtime trainer does not have"):
        target.result(step)
