"""A step and who follows it count one lease by two clocks."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from include.runtime.settings import REPO
from include.steps import lease
from tests.waiting import until

STEP = """
import sys, time
from pathlib import Path
clock = time.monotonic
time.monotonic = lambda: clock() + float(sys.argv[2])
from include.steps import lease
folder, read = Path(sys.argv[1]), lease._read
def look(at):
    with open(folder / "looks", "a") as file:
        file.write(".")
    return read(at)
lease._read = look
lease.watch(folder, lambda reason: (folder / "said").write_text(reason))
(folder / "begun").touch()
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def step(tmp_path) -> Iterator[Callable[[float], subprocess.Popen[bytes]]]:
    """A step's process on a machine whose clock is so far from ours (seconds)."""
    running = []

    def start(offset: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", STEP, str(tmp_path), str(offset)]
        running.append(subprocess.Popen(command, cwd=REPO, start_new_session=True))
        until((tmp_path / "begun").exists)
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def renew(folder: Path, seconds: float) -> None:
    lease.renew(folder, "l1", time.monotonic() + seconds)


def looks(folder: Path, times: int) -> None:
    """Wait until the step has looked for its lease so many times more."""
    file = folder / "looks"
    before = file.stat().st_size
    until(lambda: file.stat().st_size >= before + times, 60)


def ends(process: subprocess.Popen[bytes], folder: Path) -> bool:
    process.wait(60)
    return process.returncode != 0 and "not renewed in time" in (folder / "said").read_text()


@pytest.mark.parametrize("offset", [-1e6, 0, 1e6])
def test_a_step_on_a_machine_with_another_clock_lives_as_long_as_its_lease(step, tmp_path, offset):
    renew(tmp_path, 600)
    process = step(offset)
    looks(tmp_path, 3)
    assert process.poll() is None
    renew(tmp_path, -1)
    assert ends(process, tmp_path)


def test_every_renewal_counts_even_one_that_says_the_same(step, tmp_path):
    renew(tmp_path, 8)
    process = step(1e6)
    for _ in range(11):
        time.sleep(1)
        renew(tmp_path, 8)
    assert process.poll() is None
    assert ends(process, tmp_path)


def test_a_volume_that_gives_no_answer_ends_the_step_too(step, tmp_path):
    renew(tmp_path, 4)
    process = step(0)
    (tmp_path / lease.FILE).unlink()
    os.mkfifo(tmp_path / lease.FILE)  # who reads it waits for ever
    assert ends(process, tmp_path)


def test_a_volume_that_stumbles_does_not(step, tmp_path):
    renew(tmp_path, 600)
    process = step(0)
    (tmp_path / lease.FILE).unlink()
    (tmp_path / lease.FILE).mkdir()
    looks(tmp_path, 3)
    assert process.poll() is None


def test_who_follows_may_be_another_each_time(tmp_path):
    renew(tmp_path, 5)
    renew(tmp_path, 5)
    lease.renew(tmp_path, "l2", time.monotonic() + 5)
    assert lease.lease_of(tmp_path) == "l2"
    assert (tmp_path / lease.FILE).stat().st_mode & 0o777 == 0o644


def test_a_renewal_that_the_step_can_not_read_is_no_end(step, tmp_path):
    renew(tmp_path, 600)
    process = step(0)
    (tmp_path / lease.FILE).unlink()
    looks(tmp_path, 3)
    assert process.poll() is None
