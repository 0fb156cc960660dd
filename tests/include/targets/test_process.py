"""Target `process`, with a real supervisord and steps that run, hang, fail and are killed."""

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import ComponentError, InputError
from include.kinds.requests import request_of
from include.platform import supervisord
from include.runtime import family
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from include.targets.confined import GIVES_WAY
from include.targets.process import ProcessTarget
from include.targets.target import StepState, step_of
from tests.include.runtime.wheels import wheel
from tests.include.targets.asked import Asked, begun
from tests.ports import common_base
from tests.waiting import ended, until

pytestmark = pytest.mark.integration


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


@pytest.fixture
def asked(tmp_path):
    return lambda kind: Asked(tmp_path, kind)


def finish(target, step) -> StepState:
    until(lambda: target.state(step) is not StepState.RUNNING, 60)
    return target.state(step)


def process_of(settings, step) -> int:
    return Supervisor(settings).info(step.name)[1]


def test_a_step_runs_in_its_runtime_and_its_result_is_kept(target, asked, settings):
    step = target.submit(asked("quick").request, "trainer")
    assert finish(target, step) is StepState.SUCCEEDED
    result = target.result(step)
    assert result["rows"] == 40 and result["work_s"] >= 0
    assert Path(result["table"]).is_relative_to(step.out)
    assert step.name not in Supervisor(settings).programs()


def test_asking_again_while_it_runs_reconnects(target, asked, settings):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    until(lambda: begun(slow) == 1)
    process = process_of(settings, step)
    assert target.submit(slow.request, "trainer") == step
    assert process_of(settings, step) == process and begun(slow) == 1


def test_a_step_gives_way_to_servers(target, asked, settings):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    until(lambda: begun(slow) == 1)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process_of(settings, step)) == min(19, own + GIVES_WAY)


def test_asking_again_after_it_has_finished_gives_the_same_result(target, asked):
    quick = asked("quick")
    step = target.submit(quick.request, "trainer")
    finish(target, step)
    first = target.result(step)
    again = target.submit(quick.request, "trainer")
    assert target.state(again) is StepState.SUCCEEDED
    assert target.result(again) == first


@pytest.mark.parametrize("change", ["code", "params", "inputs", "data"])
def test_a_changed_request_ends_the_old_one_and_starts_anew(target, asked, settings, change):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    until(lambda: begun(slow) == 1)
    process, request = process_of(settings, step), slow.request
    if change == "code":
        (slow.folder / "train.py").write_text("def train(X, y, params): return 1\n")
    elif change == "data":
        (slow.folder / "rows.csv").write_text("x\n1\n")  # which the source, a function, may read
        request = replace(request_of(slow.folder / "model.yaml", "extract", request.run_key), keeps=request.keeps)
    elif change == "params":
        request = replace(request, params={"size": 2})
    else:
        request = replace(request, inputs={"table": "/elsewhere"})
    assert target.submit(request, "trainer") == step
    assert ended(process)
    until(lambda: begun(slow) == 2)


def test_what_no_step_reads_changes_nothing(target, asked, settings):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    process = process_of(settings, step)
    (slow.folder / "notes.txt").write_text("x\n1\n")
    target.submit(slow.request, "trainer")
    assert process_of(settings, step) == process


def test_a_killed_step_has_failed_with_a_sentence_and_is_tried_again_from_nothing(target, asked, settings):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    until(lambda: begun(slow) == 1)
    (step.out / "half").write_text("written")
    os.kill(process_of(settings, step), signal.SIGKILL)
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(ComponentError, match="killed") as told:
        target.result(step)
    assert told.value.remedy
    target.submit(slow.request, "trainer")
    until(lambda: begun(slow) == 2)
    assert not (step.out / "half").exists()


def test_a_step_lost_with_supervisord_is_tried_again(target, asked, settings):
    """Its folder is as a running step leaves it, and nobody knows its program."""
    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    until(lambda: begun(slow) == 1)
    Supervisor(settings).stop_program(step.name)
    assert target.state(step) is StepState.FAILED
    target.submit(slow.request, "trainer")
    until(lambda: begun(slow) == 2)


def test_submitted_many_times_at_once_it_runs_once(target, asked, settings):
    slow = asked("slow")
    threads = [threading.Thread(target=ProcessTarget(settings).submit, args=(slow.request, "trainer")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    step = step_of(settings, slow.request.run_key, "table.extract")
    until(lambda: begun(slow) >= 1)
    assert begun(slow) == 1
    assert target.state(step) is StepState.RUNNING
    assert family.family(str(settings.home), step.name) == [process_of(settings, step)]


def test_a_second_process_of_a_running_step_leaves_it_alone(target, asked, settings):
    """Should supervisord start it once more (its database of programs is a folder of files)."""
    import subprocess

    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    until(lambda: begun(slow) == 1)
    command = [str(settings.python("trainer")), "-m", "include.steps", str(step.folder)]
    done = subprocess.run(command, cwd=settings.repo, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 75
    assert begun(slow) == 1


def test_stop_ends_the_step_and_what_it_has_started(target, asked, settings):
    parent = asked("family")
    step = target.submit(parent.request, "trainer")
    until(lambda: parent.mark.exists() and parent.mark.read_text())
    child = int(parent.mark.read_text())
    target.stop(step)
    assert ended(child)
    assert target.state(step) is StepState.FAILED


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("raises", InputError, "no such thing"),
        ("killed", ComponentError, "ended from outside"),
        ("exits", ComponentError, "ended from outside"),
        ("greedy", InputError, "emory"),
    ],
)
def test_code_that_fails_ends_in_a_sentence(target, asked, kind, error, says):
    step = target.submit(asked(kind).request, "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(error, match=says):
        target.result(step)


def test_the_log_comes_in_whole_lines_while_the_step_runs(target, asked):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    until(lambda: "half a" in (step.folder / "log.txt").read_text() if (step.folder / "log.txt").exists() else False)
    text, offset = target.log(step, 0)
    assert "half a" not in text and text == (step.folder / "log.txt").read_text()[:offset]


def test_the_log_is_told_to_its_end_even_without_a_line_break(target, asked, settings):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer")
    until(lambda: "half a" in (step.folder / "log.txt").read_text() if (step.folder / "log.txt").exists() else False)
    os.kill(process_of(settings, step), signal.SIGKILL)
    finish(target, step)
    text, offset = "", 0
    while True:
        more, offset = target.log(step, offset, ended=True)
        if not more:
            break
        text += more
    assert "half a" in text


def test_a_log_of_one_endless_line_does_not_stall(target, settings, tmp_path):
    step = step_of(settings, tmp_path.name, "table.extract")
    step.folder.mkdir(parents=True)
    (step.folder / "log.txt").write_text("x" * 600_000)
    text, offset = target.log(step, 0)
    assert offset == len(text) > 0


def test_what_a_step_is_given_holds_no_secret_that_others_can_read(target, asked, settings):
    step = target.submit(asked("quick").request, "trainer", {"MLFLOW_TRACKING_PASSWORD": "very-secret"})
    finish(target, step)
    for path in settings.home.rglob("*"):
        if path.is_file() and b"very-secret" in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, path


def test_run_keys_that_differ_have_steps_that_differ(settings):
    keys = [
        "a_lifecycle/manual__1",
        "a_lifecycle/manual-_1",
        "a_lifecycle/" + "x" * 200 + "1",
        "a_lifecycle/" + "x" * 200 + "2",
        "../../etc",
    ]
    steps = [step_of(settings, key, "table.train") for key in keys]
    assert len({step.name for step in steps}) == len({step.folder for step in steps}) == len(keys)
    assert all(step.folder.resolve().is_relative_to(settings.steps) for step in steps)


def test_a_step_may_write_temporary_files_of_its_own(target, asked):
    quick = asked("quick")
    step = target.submit(replace(quick.request, params={"size": 3}), "trainer")
    assert json.loads((step.folder / "request.json").read_text())["params"] == {"size": 3}
    assert finish(target, step) is StepState.SUCCEEDED


def soon() -> float:
    return time.monotonic() + 600


def test_under_a_lease_a_step_told_to_stop_saves_and_finds_it_again(target, asked, settings):
    saves = asked("saves")
    step = target.submit(saves.request, "trainer", lease=("l1", soon()))
    until(lambda: begun(saves) == 1)
    target.ask_to_stop(step)
    assert finish(target, step) is StepState.FAILED
    target.submit(saves.request, "trainer", lease=("l2", soon()))
    until(lambda: begun(saves) == 2)
    assert saves.mark.read_text().splitlines() == ["[]", "['state']"]


def test_changed_code_does_not_find_what_another_kept(target, asked):
    saves = asked("saves")
    step = target.submit(saves.request, "trainer", lease=("l1", soon()))
    until(lambda: begun(saves) == 1)
    target.ask_to_stop(step)
    finish(target, step)
    target.submit(replace(saves.request, params={"size": 2}), "trainer", lease=("l2", soon()))
    until(lambda: begun(saves) == 2)
    assert saves.mark.read_text().splitlines()[1] == "[]"


def test_a_step_that_will_not_stop_is_killed(target, asked, settings):
    deaf = asked("deaf")
    step = target.submit(deaf.request, "trainer", lease=("l1", soon()))
    until(lambda: begun(deaf) == 1)
    process = process_of(settings, step)
    target.kill(step)
    assert ended(process)
    assert target.state(step) is StepState.FAILED


def test_a_step_of_the_same_lease_is_found_and_of_another_started_anew(target, asked, settings):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer", lease=("l1", soon()))
    until(lambda: begun(slow) == 1)
    process = process_of(settings, step)
    target.submit(slow.request, "trainer", lease=("l1", soon()))
    assert process_of(settings, step) == process
    target.submit(slow.request, "trainer", lease=("l2", soon()))
    assert ended(process)
    until(lambda: begun(slow) == 2)


def test_a_lease_that_nobody_renews_ends_the_step(target, asked, settings):
    slow = asked("slow")
    step = target.submit(slow.request, "trainer", lease=("l1", soon()))
    until(lambda: begun(slow) == 1)
    process = process_of(settings, step)
    target.keep(step, ("l1", time.monotonic() - 1))
    assert finish(target, step) is StepState.FAILED
    assert ended(process)
    with pytest.raises(ComponentError, match="lease was not renewed in time"):
        target.result(step)


def test_what_has_finished_needs_no_lease(target, asked):
    quick = asked("quick")
    assert not target.finished(quick.request, "trainer")
    finish(target, target.submit(quick.request, "trainer", lease=("l1", soon())))
    assert target.finished(quick.request, "trainer")
    assert not target.finished(replace(quick.request, params={"size": 2}), "trainer")


def test_code_that_writes_where_it_stands_may(target, asked):
    own = asked("quick")
    text = (own.folder / "data.py").read_text()
    (own.folder / "data.py").write_text(text.replace("def load():", "def load():\n    open('beside', 'w').write('x')"))
    step = target.submit(own.request, "trainer")
    assert finish(target, step) is StepState.SUCCEEDED, target.log(step, 0, ended=True)[0]
    assert (step.folder / "tmp" / "beside").exists()


def test_a_models_own_packages_are_a_layer_on_the_runtime_within_the_steps_walls(target, asked, settings, tmp_path, monkeypatch):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "drinks", "1.0")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    own = asked("quick")
    (own.folder / "data.py").write_text(f"import drinks\nassert drinks.VERSION == '1.0'\n{(own.folder / 'data.py').read_text()}")
    assert finish(target, target.submit(own.request, "trainer")) is StepState.FAILED
    (own.folder / "requirements.txt").write_text("drinks==1.0\n")
    step = target.submit(own.request, "trainer")
    assert finish(target, step) is StepState.SUCCEEDED, target.log(step, 0, ended=True)[0]
    assert target.result(step)["rows"] == 40 and target.finished(own.request, "trainer")
    assert settings.python((step.folder / "runtime").read_text()).is_relative_to(settings.home / "layers")
    (own.folder / "requirements.txt").write_text("drinks==2.0\n")
    assert not target.finished(own.request, "trainer")
    with pytest.raises(InputError, match=r"requirements.txt:1: drinks has no such version"):
        target.submit(own.request, "trainer")
