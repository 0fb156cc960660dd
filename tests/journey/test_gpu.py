"""What a DAG author gets: GPUs for a function, around some tasks, and for a model's training; whatever dies or is taken away meanwhile."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from gpu_pool.client import Held, PoolClient
from include.inventory.choose import gpus_here
from include.pool.ask import Ask
from include.runtime.airflow_api import Refused
from include.runtime.credentials import SERVICE
from tests.journey.killing import COMPONENTS
from tests.journey.site import LEASED, Site, ancestors
from tests.waiting import until

pytestmark = [
    pytest.mark.journey,
    pytest.mark.timeout(300),
    pytest.mark.skipif(gpus_here() > 0, reason="there is a GPU here: nothing is simulated"),
]
Run = tuple[str, str]
V1 = "/gpu-pool/v1"
AT_ONCE_S = 20.0
"""Far less than the lease's time to live: it did not just run out."""


class Others:
    """Everybody else who wants GPUs."""

    def __init__(self, site: Site) -> None:
        self._client = PoolClient(site.client(SERVICE))
        self._asked: list[str] = []

    def ask(self, **fields: Any) -> str:
        """The request's id; it needs no heartbeat for the length of a test."""
        key = f"others/{len(self._asked)}/{os.urandom(4).hex()}"
        wanted = self._client.submit(key, Ask.from_json({"preemptible": False, "ttl_s": 900, **fields}))
        self._asked.append(wanted.id)
        return wanted.id

    def hold(self, **fields: Any) -> Held:
        request = self.ask(**fields)
        held: list[Held | None] = [None]

        def granted() -> bool:
            wanted = self._client.touch(request)
            held[0] = wanted.lease if wanted else None
            return held[0] is not None

        until(granted, 60, f"{fields} for others", every_s=0.2)
        assert held[0] is not None
        return held[0]

    def leave(self) -> None:
        for request in self._asked:
            self._client.cancel(request)
        self._asked.clear()


@pytest.fixture
def others(site: Site) -> Iterator[Others]:
    """Afterwards nobody holds anything and nobody waits."""
    others = Others(site)
    known = {"gpu_function", "gpu_around", f"{LEASED}_lifecycle"}
    until(lambda: known <= {dag["dag_id"] for dag in site.api.get("/api/v2/dags")["dags"]}, 60, "the DAGs", every_s=0.5)
    try:
        yield others
    finally:
        others.leave()
    until(lambda: not live(site), AT_ONCE_S, "an idle pool", every_s=0.2, seen=lambda: live(site))


def live(site: Site) -> list[dict[str, Any]]:
    """Requests of these tests; revisions of other journeys may hold shares."""
    ours = ("others/", "gpu_function/", "gpu_around/", f"{LEASED}_lifecycle/")
    return [row for row in site.api.get(f"{V1}/requests", params={"state": "live"}) if row["key"].startswith(ours)]


def request_of(site: Site, run: Run, task: str) -> dict[str, Any] | None:
    return next((row for row in live(site) if row["key"] == f"{run[0]}/{run[1]}/{task}/-1"), None)


def lease_of(site: Site, run: Run, task: str) -> dict[str, Any]:
    """The task's live lease, once it has one."""
    found: list[dict[str, Any]] = []

    def held() -> bool:
        row = request_of(site, run, task)
        found[:] = [row["lease"]] if row and row["lease"] else []
        return bool(found)

    until(held, 60, f"a lease of {task}", every_s=0.2)
    return found[0]


def tries(site: Site, run: Run, task: str) -> int:
    return int(site.api.get(f"/api/v2/dags/{run[0]}/dagRuns/{run[1]}/taskInstances/{task}")["try_number"])


def function(site: Site, **conf: Any) -> Run:
    return "gpu_function", site.api.trigger("gpu_function", conf)


def begun(site: Site, run: Run, task: str, times: int = 1, attempt: int = 1) -> int:
    """The process in which the function runs, once its log says for the n-th time that it has begun."""
    found: list[str] = []

    def said() -> bool:
        try:
            found[:] = re.findall(r"begun by process (\d+)", site.log(run, task, attempt))
        except Refused:  # the try has not begun
            return False
        return len(found) >= times

    until(said, 90, f"{task} begun", every_s=0.5)
    return int(found[-1])


def fail(site: Site, run: Run, task: str) -> None:
    """As by hand in the UI."""
    site.api.call("PATCH", f"/api/v2/dags/{run[0]}/dagRuns/{run[1]}/taskInstances/{task}", json={"new_state": "failed"})


def gone(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# A function


def test_a_function_sees_its_gpu_and_gives_it_back(site: Site, others: Others):
    run = function(site)
    ended = site.end(run)
    seen = site.xcom(*run, "work")
    assert ended.state == "success"
    assert seen["CUDA_VISIBLE_DEVICES"] == seen["NVIDIA_VISIBLE_DEVICES"]
    assert re.fullmatch(r"declared/simulated/gpu-\d", seen["CUDA_VISIBLE_DEVICES"])
    assert seen["UPDRAFT_GPU_MEMORY_MIB"] == "20480"
    lease = site.api.get(f"{V1}/leases/{seen['UPDRAFT_GPU_LEASE']}")
    assert lease["end"] == "released"


def test_a_functions_own_mistake_is_told_and_tried_again_with_its_gpu_given_back_each_time(site: Site, others: Others):
    run = function(site, end="raise")
    assert site.end(run).state == "failed"
    assert tries(site, run, "work") == 3
    assert "the function's own mistake" in site.log(run, "work", 3)


def test_what_can_never_be_placed_fails_at_once_in_the_pools_words(site: Site, others: Others):
    run = function(site, memory="500GiB")
    assert site.end(run).state == "failed"
    assert tries(site, run, "work") == 1
    assert "500 GiB" in site.log(run, "work")


def test_it_waits_deferred_says_why_and_survives_its_triggerer(site: Site, others: Others):
    others.hold(gpus=2)
    run = function(site)
    site.wait(run, "work", "deferred")
    COMPONENTS["triggerer"](site, "train", "")
    row = request_of(site, run, "work")
    assert row and row["position"] == 1 and row["reasons"]
    others.leave()
    assert site.end(run).state == "success"
    assert tries(site, run, "work") == 1
    assert row["reasons"][0] in site.log(run, "work")


def test_killed_by_hand_while_it_waits_it_is_no_longer_wanted(site: Site, others: Others):
    others.hold(gpus=2)
    run = function(site)
    until(lambda: (row := request_of(site, run, "work")) and row["seen_at"] > row["submitted_at"], 60, "a heartbeat of the wait")
    fail(site, run, "work")
    until(lambda: request_of(site, run, "work") is None, AT_ONCE_S, "no request", every_s=0.2)


def test_killed_by_hand_while_it_works_its_process_ends_and_the_gpu_is_free(site: Site, others: Others):
    run = function(site, seconds=600)
    process = begun(site, run, "work")
    fail(site, run, "work")
    until(lambda: request_of(site, run, "work") is None and gone(process), AT_ONCE_S, "no lease and no process", every_s=0.2)


def test_preempted_it_puts_away_its_work_waits_again_and_spends_no_retry(site: Site, others: Others):
    run = function(site, seconds=15)
    begun(site, run, "work")
    others.hold(gpus=2, priority=10)
    site.wait(run, "work", "deferred")
    log = site.log(run, "work")
    assert "preempted" in log and "put away" in log
    others.leave()
    assert site.end(run).state == "success"
    assert tries(site, run, "work") == 1


@pytest.mark.parametrize("dies", ["worker", "task"])
def test_a_retry_takes_the_lease_over_and_ends_what_the_first_try_has_left(site: Site, others: Others, dies: str):
    """The task's process outlives its worker, and goes on until it is fenced off."""
    run = function(site, seconds=75)
    process = begun(site, run, "work")
    before = lease_of(site, run, "work")
    task, worker = ancestors(process)[:2]
    os.kill(worker if dies == "worker" else task, signal.SIGKILL)
    again = begun(site, run, "work", attempt=2)
    until(lambda: gone(process), AT_ONCE_S, "the first try's process gone")
    assert lease_of(site, run, "work")["id"] == before["id"]
    assert not gone(again)
    fail(site, run, "work")


def test_a_lease_that_an_admin_ends_sends_it_back_to_the_queue(site: Site, others: Others):
    run = function(site, seconds=10)
    begun(site, run, "work")
    first = lease_of(site, run, "work")
    site.api.post(f"{V1}/leases/{first['id']}/force-release", {"reason": "a test"})
    site.wait(run, "work", "deferred")
    assert site.end(run).state == "success"
    assert tries(site, run, "work") == 1


# Around tasks


@pytest.mark.parametrize(("end", "state"), [("return", "success"), ("raise", "failed")])
def test_what_is_acquired_around_tasks_is_released_whatever_they_do(site: Site, others: Others, end: str, state: str):
    run = "gpu_around", site.api.trigger("gpu_around", {"end": end})
    ended = site.end(run)
    assert ended.state == state
    assert ended.tasks["release_gpu"] == "success"
    lease = site.xcom(*run, "acquire_gpu")
    assert site.api.get(f"{V1}/leases/{lease['lease_id']}")["end"] == "released"
    if end == "return":
        assert site.xcom(*run, "inside") == [lease["devices"][0], lease["lease_id"], False]


# A model's training


def test_a_preempted_training_goes_on_where_it_was_and_spends_no_retry(site: Site, others: Others):
    run = site.trigger(LEASED, seconds=8.0)
    begun(site, run, "train")
    others.hold(gpus=2, priority=10)
    site.wait(run, "train", "deferred")
    others.leave()
    site.wait(run, "train", "success")
    assert tries(site, run, "train") == 1
    epochs = [int(epoch) for epoch in re.findall(r"at epoch (\d+) on declared/simulated", site.log(run, "train"))]
    assert epochs[0] == 0 and epochs[1] > 0
    site.api.call("PATCH", f"/api/v2/dags/{run[0]}/dagRuns/{run[1]}", json={"state": "failed"})


def test_a_training_outlives_its_worker_under_the_same_lease(site: Site, others: Others):
    run = site.trigger(LEASED, seconds=75.0)
    process = begun(site, run, "train")
    before = lease_of(site, run, "train")
    COMPONENTS["task process"](site, "train", "")
    until(lambda: tries(site, run, "train") == 2, 90, "the retry", every_s=0.5)
    site.wait(run, "train", "running")
    assert lease_of(site, run, "train")["id"] == before["id"]
    site.wait(run, "train", "success")
    assert begun(site, run, "train", attempt=2) == process
    site.api.call("PATCH", f"/api/v2/dags/{run[0]}/dagRuns/{run[1]}", json={"state": "failed"})


def test_a_training_killed_by_hand_ends_with_its_lease(site: Site, others: Others):
    run = site.trigger(LEASED, seconds=600.0)
    process = begun(site, run, "train")
    fail(site, run, "train")
    until(lambda: request_of(site, run, "train") is None and gone(process), AT_ONCE_S, "no lease and no process", every_s=0.2)
