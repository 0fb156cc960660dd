"""Servers that are away for a while, a version on trial that dies, a full disk: the run waits or ends cleanly, callers notice nothing."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from include.runtime.supervisor import State
from tests.journey.killing import IN_FLIGHT, program
from tests.journey.site import SERVED, Site, children
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]


def test_up_again_leaves_everything_that_runs_alone(site: Site, champion: int):
    before = {name: site.supervisor.info(name)[1] for name in site.supervisor.programs()}
    site.up()
    assert {name: site.supervisor.info(name)[1] for name in site.supervisor.programs()} == before


def test_a_half_started_platform_is_named_by_status_and_completed_by_up(site: Site, champion: int):
    site.supervisor.stop_program("mlflow")
    site.supervisor.stop_program("airflow-triggerer")
    status = site.command("include.platform", "status")
    assert status.returncode == 1
    assert "mlflow does not answer" in status.stdout and "make up" in status.stdout
    with site.traffic() as stop:
        site.up()
        assert stop().failed == 0
    assert site.supervisor.state("airflow-triggerer").alive
    assert site.command("include.platform", "status").returncode == 0
    site.settled(champion)


def test_with_mlflow_away_for_a_while_a_run_waits_and_goes_on(site: Site, champion: int):
    """Its port is closed when the training is to begin."""
    run = site.trigger()
    site.wait(run, "snapshot_data", "success", "running")
    site.supervisor.stop_program("mlflow")
    with site.traffic() as stop:
        time.sleep(5)  # the time that it is away
        site.up()
        ended = site.end(run)
        report = stop()
    assert report.failed == 0, report.failures
    assert ended.state == "success", ended
    site.settled(site.aliases["champion"])


def test_a_killed_api_server_fails_no_run(site: Site, champion: int):
    with site.traffic() as stop:
        run = site.trigger(seconds=4.0)
        site.wait(run, "train", "running")
        program("airflow-api-server")(site, "train", "")
        site.wait(run, "canary", "deferred")
        program("airflow-api-server")(site, "canary", "")
        ended = site.end(run)
        report = stop()
    assert ended.state == "success" and ended.tasks["promote"] == "success", ended
    assert report.failed == 0, report.failures
    site.settled(site.version(ended))


def test_training_runs_once_though_its_worker_was_killed(site: Site, champion: int):
    run = site.trigger(seconds=8.0, canary_steps=[50], canary_step_s=1.0)
    site.wait(run, "train", "running")
    steps = site.settings.steps

    def begun() -> list[str]:
        logs = [path for path in steps.glob("*/table.train/log.txt") if path.stat().st_mtime > started]
        return [line for path in logs for line in path.read_text().splitlines() if line.startswith("begun by process")]

    started = time.time() - 5
    until(begun, 60, "the training has begun")
    scheduler = site.supervisor.info("airflow-scheduler")[1]
    worker, task = next((worker, task) for worker in children(scheduler) for task in children(worker))
    os.kill(worker, signal.SIGKILL)
    os.kill(task, signal.SIGKILL)
    site.wait(run, "train", "success")
    assert len(begun()) == 1
    assert site.end(run).tasks["train"] == "success"
    site.settled(site.aliases["champion"])


def test_a_version_that_dies_on_trial_costs_no_caller_more_than_it_had_in_hand(site: Site, champion: int):
    """Its death is evidence: the judge may end the trial for it. Callers are answered by the champion meanwhile."""
    with site.traffic() as stop:
        run = site.trigger(canary_step_s=8.0)
        site.wait(run, "canary", "deferred")
        name = f"revision-{SERVED}-{site.version(run)}"
        weights = {str(champion): 80, str(site.version(run)): 20}
        until(lambda: site.gateway.split(SERVED).weights == weights, 30, "the trial has begun")
        for _ in range(2):
            guard = site.supervisor.info(name)[1]
            if guard:
                os.kill(guard, signal.SIGKILL)
            time.sleep(1)
        ended = site.end(run)
        report = stop()
    assert ended.state == "success", ended
    assert report.failed <= IN_FLIGHT, report.failures
    site.settled(site.aliases["champion"])


def test_a_supervisord_that_lost_a_program_gets_it_back_from_up(site: Site, champion: int):
    guard = site.supervisor.info(f"revision-{SERVED}-{champion}")[1]
    os.kill(guard, signal.SIGKILL)
    until(lambda: site.supervisor.state(f"revision-{SERVED}-{champion}") is State.RUNNING, 30, "the champion's server is back")
    site.settled(champion)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A file system of 64 KiB in place of a folder, and full."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with (folder / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="space"):
            while True:
                filler.write(b"0" * 4096)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_full_disk_fails_the_run_with_its_name_and_production_goes_on(site: Site, champion: int):
    """Full where bundles are fetched to, for one model, and where revisions are made, for another; with room again a run succeeds."""
    bundles, revisions = site.settings.home / "bundles" / "hanger", site.settings.revisions / "killer"
    with site.traffic() as stop:
        with full(bundles), full(revisions):
            runs = [site.trigger("hanger"), site.trigger("killer")]
            both = [site.end(run) for run in runs]
        report = stop()
    assert report.failed == 0, report.failures
    for ended, task in zip(both, ("register", "deploy"), strict=True):  # a bundle is kept once it is registered
        assert ended.state == "failed" and ended.tasks[task] == "failed", ended
        assert "disk" in site.log(ended, task)
    assert not {"hanger", "killer"} & set(site.gateway.models())
    site.settled(champion)
    assert site.run("killer").state == "success"


def test_a_disk_that_is_full_where_steps_work_fails_the_run_with_its_name(site: Site, champion: int):
    steps = site.settings.steps
    shutil.rmtree(steps, ignore_errors=True)
    with full(steps):
        ended = site.run("raiser")
    assert ended.state == "failed" and ended.tasks["validate_data"] == "failed", ended
    assert "disk is full" in site.log(ended, "validate_data")
    site.settled(champion)
