"""A scaled platform: PostgreSQL, Redis and two Celery workers, each killed with -9 on the way of a run."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.platform import postgres
from include.platform.scale import WORKERS, Scale
from include.runtime.supervisor import State
from tests.journey import test_secrets
from tests.journey.killing import program
from tests.journey.site import SERVED, Site, ancestors, describe
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

CELERY = [f"celery-worker-{number}" for number in range(1, WORKERS + 1)]


@pytest.fixture(scope="module")
def scaled() -> Iterator[Site]:
    missing = [
        name
        for name, there in {"PostgreSQL": postgres.DEBIAN.glob("*/bin/postgres"), "Redis": shutil.which("redis-server")}.items()
        if not (list(there) if there else there)
    ]
    if missing:
        pytest.skip(f"Debian's {' and '.join(missing)} not on this machine: make install-scaled")
    site = Site(Scale.SCALED)
    try:
        site.up()
        yield site
    finally:
        site.close()


def at_work(site: Site) -> list[tuple[str, int]]:
    """Celery workers (program, first process) that run a task now."""
    first = {site.supervisor.info(name)[1]: name for name in CELERY}
    tasks = [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if "airflow worker -- " in describe(int(folder.name))]
    return [(first[process], process) for task in tasks for process in ancestors(task) if process in first]


def begun(site: Site) -> list[str]:
    """One line for each time that a training has begun."""
    logs = site.settings.steps.glob("*/table.train/log.txt")
    return [line for path in logs for line in path.read_text().splitlines() if line.startswith("begun by process")]


def test_a_run_goes_to_production_though_workers_redis_and_postgresql_are_killed(scaled: Site):
    run = scaled.trigger(seconds=8.0)
    scaled.wait(run, "train", "running")
    until(lambda: begun(scaled), 120, "the training has begun")
    found = at_work(scaled)
    assert len(found) == 1, found
    name, worker = found[0]
    os.kill(worker, signal.SIGKILL)
    until(lambda: scaled.supervisor.info(name)[1] not in (0, worker), 90, f"{name} started again")
    program("redis")(scaled, "train", "")
    scaled.wait(run, "train", "success")
    program("postgres")(scaled, "evaluate", "")
    ended = scaled.end(run, timeout_s=420)
    assert ended.state == "success", ended
    assert len(begun(scaled)) == 1, "the task that was tried again has found its step, or its result"
    tries = scaled.api.get(f"/api/v2/dags/{ended.dag_id}/dagRuns/{ended.run_id}/taskInstances/train")["try_number"]
    assert tries >= 2
    scaled.settled(scaled.version(ended), SERVED)


def test_later_commands_know_what_it_is(scaled: Site):
    del scaled.environment["UPDRAFT_SCALE"]
    scaled.up()
    done = scaled.command("include.platform", "status")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("postgres", "redis", *CELERY):
        assert f"{name:<28} {State.RUNNING}" in done.stdout
    assert not (scaled.settings.home / "airflow" / "airflow.db").exists()
    assert not (scaled.settings.home / "mlflow" / "mlflow.db").exists()


def test_it_refuses_to_become_embedded(scaled: Site):
    scaled.environment["UPDRAFT_SCALE"] = "embedded"
    try:
        done = scaled.command("include.platform", "up")
    finally:
        del scaled.environment["UPDRAFT_SCALE"]
    assert done.returncode == 1 and "make clean" in done.stderr
    assert set(scaled.supervisor.programs().values()) == {State.RUNNING}


@pytest.mark.parametrize(
    "holds",
    [
        test_secrets.test_no_log_holds_a_secret,
        test_secrets.test_no_file_that_others_can_read_holds_a_secret,
        test_secrets.test_no_command_line_shows_a_secret,
    ],
    ids=lambda test: test.__name__.removeprefix("test_"),
)
def test_its_secrets_are_kept(scaled: Site, holds):
    holds(scaled, 0)


def test_all_of_it_listens_on_loopback_only(scaled: Site):
    test_secrets.test_everything_listens_on_loopback_only(scaled)
