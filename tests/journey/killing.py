"""The components of a platform and how each is killed, with -9, by process id."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.journey.site import SERVED, Site, children, describe
from tests.waiting import until

BACK_S = 90
"""A killed component is at work again within this, on a busy machine."""
IN_FLIGHT = 6
"""Requests that a killed server may have had in hand: at 40 a second and 5 ms each hardly ever one; a busy machine piles up some."""

TASK_INSTANCES = "/api/v2/dags/~/dagRuns/~/taskInstances"


@dataclass(frozen=True)
class Killed:
    """What was killed, how long callers could not be served for certain, and how many of their requests that may have cost."""

    name: str
    seconds: float
    allowed: int


def program(name: str) -> Callable[[Site, str, str], Killed]:
    """The first process of a supervised program; callers do not depend on it."""

    def kill(site: Site, phase: str, champion: str) -> Killed:
        process = site.supervisor.info(name)[1]
        os.kill(process, signal.SIGKILL)
        seconds = until(lambda: site.supervisor.info(name)[1] not in (0, process), BACK_S, f"{name} started again")
        return Killed(name, seconds, 0)

    return kill


def task_process(site: Site, phase: str, champion: str) -> Killed:
    """The LocalExecutor's worker that runs the task, or, in the phases deploy and canary, the process in which the task itself runs."""
    scheduler = site.supervisor.info("airflow-scheduler")[1]
    found: list[tuple[int, int]] = []

    def running() -> bool:
        # A task's process is called after its instance; a run that was just ended by hand may still be tidying up in another worker.
        instances = site.api.get(TASK_INSTANCES, params={"state": "running", "limit": 100})["task_instances"]
        wanted = {row["id"] for row in instances if row["task_id"] == phase}
        found[:] = [
            (worker, task) for worker in children(scheduler) for task in children(worker) if any(one in describe(task) for one in wanted)
        ]
        return bool(found)

    until(running, 30, f"a task process in phase {phase}", every_s=0.02)
    worker, task = found[0]
    os.kill(task if phase in ("deploy", "canary") else worker, signal.SIGKILL)
    return Killed("task process", 0, 0)


def server_of(site: Site, phase: str, champion: str) -> tuple[str, int]:
    """Program and server process of the revision whose death tells most: the one that is being deployed or promoted, else the champion."""
    names = [name for name in site.supervisor.programs() if name.startswith(f"revision-{SERVED}-")]
    other = [name for name in names if name != f"revision-{SERVED}-{champion}"]
    wanted = other[0] if phase in ("deploy", "promote") and other else f"revision-{SERVED}-{champion}"
    guard = site.supervisor.info(wanted)[1]
    return wanted, (children(guard) or [0])[0]


def server(site: Site, phase: str, champion: str) -> Killed:
    """Requests on a connection to a server that dies are lost: they may have reached the model, so nobody sends them again."""
    return _serving(site, phase, champion, stub=False)


def stub(site: Site, phase: str, champion: str) -> Killed:
    return _serving(site, phase, champion, stub=True)


def _serving(site: Site, phase: str, champion: str, *, stub: bool) -> Killed:
    victim = 0

    def there() -> bool:
        nonlocal victim
        victim = server_of(site, phase, champion)[1]
        if victim and stub:
            victim = (children(victim) or [0])[0]
        return bool(victim)

    until(there, 60, f"the server in phase {phase}", every_s=0.02)
    name = server_of(site, phase, champion)[0]
    os.kill(victim, signal.SIGKILL)
    version = name.rpartition("-")[2]

    def back() -> bool:
        revision = site.backend.find(SERVED, version)
        return revision is None or site.backend.ready(revision)

    begun = time.monotonic()
    until(lambda: not Path(f"/proc/{victim}/environ").exists() or not _environ(victim), BACK_S, "it is gone", every_s=0.01)
    until(back, BACK_S, f"{name} ready again")
    return Killed(f"{'stub' if stub else 'server'} of {name}", time.monotonic() - begun, IN_FLIGHT)


def _environ(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return b""


def envoy(site: Site, phase: str, champion: str) -> Killed:
    """Nobody stands in for the only door: what is sent until it is open again is refused."""
    begun = time.monotonic()
    killed = program("envoy")(site, phase, champion)
    until(site.gateway.admin.running, BACK_S, "the gateway open again", every_s=0.01)
    seconds = time.monotonic() - begun
    return Killed(killed.name, seconds, IN_FLIGHT + round((seconds + 0.5) * site.rate))


def supervisord(site: Site, phase: str, champion: str) -> Killed:
    """Then `up`, as a person would; the gateway and the servers are away for as long as that takes."""
    begun = time.monotonic()
    process = site.supervisor.process_id()
    assert process
    os.kill(process, signal.SIGKILL)
    until(lambda: not site.supervisor.running(), 10, "supervisord is gone")
    site.up()
    seconds = time.monotonic() - begun
    return Killed("supervisord", seconds, IN_FLIGHT + round((seconds + 1) * site.rate))


COMPONENTS: dict[str, Callable[[Site, str, str], Killed]] = {
    "scheduler": program("airflow-scheduler"),
    "triggerer": program("airflow-triggerer"),
    "task process": task_process,
    "mlflow": program("mlflow"),
    "server": server,
    "stub": stub,
    "envoy": envoy,
    "supervisord": supervisord,
}
