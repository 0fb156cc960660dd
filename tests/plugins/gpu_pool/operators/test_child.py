"""A function in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpu_pool.child import Child, stop
from include.errors import ComponentError
from include.runtime.settings import REPO
from tests.waiting import ended, until


def finish(child: Child) -> None:
    until(lambda: child.wait(0.05))


def test_it_returns_what_the_function_returns_and_sees_the_environment():
    child = Child(lambda: {"seen": os.environ["UPDRAFT_GPU_LEASE"], "large": "x" * 1_000_000}, {"UPDRAFT_GPU_LEASE": "7f"})
    finish(child)
    assert child.returned
    assert child.result()["seen"] == "7f"
    assert "UPDRAFT_GPU_LEASE" not in os.environ


def test_it_raises_what_the_function_raises_with_its_traceback():
    def own_mistake() -> None:
        raise KeyError("own mistake")

    child = Child(own_mistake, {})
    finish(child)
    with pytest.raises(KeyError, match="own mistake") as raised:
        child.result()
    assert "in own_mistake" in "".join(raised.value.__notes__)


@pytest.mark.parametrize("value", [threading.Lock(), lambda: 1])
def test_what_cannot_be_sent_is_said(value: object):
    child = Child(lambda: value, {})
    finish(child)
    with pytest.raises(ComponentError, match="can't be sent"):
        child.result()


def test_an_error_that_cannot_be_sent_is_told_in_words():
    class Odd(Exception):
        pass

    def fail() -> None:
        raise Odd("in words")

    child = Child(fail, {})
    finish(child)
    with pytest.raises(ComponentError, match="in words"):
        child.result()


def test_told_to_stop_the_function_may_put_its_work_away(tmp_path: Path):
    def work() -> None:
        (tmp_path / "begun").touch()
        try:
            time.sleep(600)
        finally:
            (tmp_path / "saved").touch()

    child = Child(work, {})
    until((tmp_path / "begun").exists)
    stop(child, lambda: 30.0)
    assert (tmp_path / "saved").exists()
    assert not child.returned


def test_one_that_does_not_stop_is_killed_when_its_time_is_up_with_all_it_has_started(tmp_path: Path):
    def work() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        other = subprocess.Popen(["sleep", "600"])
        (tmp_path / "pid.new").write_text(str(other.pid))
        (tmp_path / "pid.new").rename(tmp_path / "pid")
        time.sleep(600)

    child = Child(work, {})
    until((tmp_path / "pid").exists)
    deadline = time.monotonic() + 0.5
    stop(child, lambda: max(deadline - time.monotonic(), 0))
    until(lambda: ended(int((tmp_path / "pid").read_text())))
    with pytest.raises(ComponentError, match="killed, or out of memory"):
        child.result()


def test_what_the_function_leaves_behind_ends_with_it(tmp_path: Path):
    child = Child(lambda: subprocess.Popen(["sleep", "600"]).pid, {})
    finish(child)
    process = child.result()
    until(lambda: ended(process))


PARENT = """
import os, sys, time
from gpu_pool.child import Child
def work():
    print(os.getpid(), flush=True)
    time.sleep(600)
Child(work, {})
time.sleep(600)
"""


def test_it_dies_with_the_process_that_started_it():
    environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'plugins'}"}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        parent.kill()
    until(lambda: ended(process))
