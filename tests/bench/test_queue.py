"""The peers of bench-queue mean what they say, on cases small enough to follow by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.queue.figures import figures, quantile
from bench.queue.ours import Updraft
from bench.queue.peers import AirflowPool, Fifo
from bench.queue.simulate import Overtaking, Played, Scheduler, Turn, play
from bench.queue.trace import Job, cluster, peak_gpus
from include.errors import ComponentError
from include.placement.node import Device, Node
from include.placement.workload import Workload


def node(name: str, gpus: int) -> Node:
    return Node(name, 0, 0, tuple(Device(f"{name}/{index}", "G2") for index in range(gpus)))


def job(key: str, at: float, lasts: float, gpus: float = 1, priority: int = 5, preemptible: bool = False) -> Job:
    request = Workload(gpus=int(gpus)) if gpus >= 1 else Workload(milli=round(1000 * gpus))
    return Job(key, at, lasts, request, priority, preemptible)


def played(scheduler: Scheduler, *jobs: Job, checkpoint_s: float | None = None) -> Played:
    return play(scheduler, jobs, checkpoint_s=checkpoint_s, ageing_s=600.0)


def waits(scheduler: Scheduler, *jobs: Job) -> dict[str, float]:
    return {course.job.key: course.waited_s for course in played(scheduler, *jobs).courses}


LARGE_IN_BETWEEN = (job("runs", 0, 100), job("large", 10, 50, gpus=2), job("small", 20, 10, priority=8))
"""Two GPUs: one is taken until 100, the large one wants both, a small one of higher priority comes after it."""


def test_fifo_lets_nobody_pass_whoever_is_first() -> None:
    assert waits(Fifo([node("a", 2)]), *LARGE_IN_BETWEEN) == {"runs": 0, "large": 90, "small": 130}


def test_fifo_shares_a_gpu() -> None:
    assert waits(Fifo([node("a", 1)]), job("x", 0, 10, 0.6), job("y", 0, 10, 0.4), job("z", 0, 10, 0.1)) == {"x": 0, "y": 0, "z": 10}


def test_airflow_passes_over_what_has_too_few_slots() -> None:
    assert waits(AirflowPool([node("a", 2)]), *LARGE_IN_BETWEEN) == {"runs": 0, "large": 90, "small": 0}


def test_airflow_keeps_nothing_for_the_large_one() -> None:
    """Whenever a slot opens a small one takes it, so that two are never open together: the large one starves as long as small ones come."""
    small = [job(f"small-{number}", 5.0 * number, 10) for number in range(20)]
    assert waits(AirflowPool([node("a", 2)]), *small, job("large", 1, 10, gpus=2, priority=8))["large"] == pytest.approx(104)


def test_airflow_goes_by_weight_then_by_date_and_nothing_ages() -> None:
    jobs = [
        job("runs", 0, 100_000),
        job("low", 1, 10, priority=2),
        job("later", 90_001, 10, priority=8),
        job("first", 90_000, 10, priority=8),
    ]
    assert waits(AirflowPool([node("a", 1)]), *jobs) == {"runs": 0, "first": 10_000, "later": 10_009, "low": 100_019}


def test_airflow_gives_a_share_a_whole_slot_and_gpu() -> None:
    halves = [job("x", 0, 10, 0.5), job("y", 0, 10, 0.5)]
    assert waits(AirflowPool([node("a", 1)]), *halves) == {"x": 0, "y": 10}
    assert waits(AirflowPool([node("a", 1)], per_gpu=100), *halves) == {"x": 0, "y": 0}


def test_airflow_knows_no_nodes_and_slots_are_held_without_a_place() -> None:
    """From 20 to 30 two GPUs are free, one on either node: the large one has both slots and no node, and keeps the last one waiting."""
    jobs = [job("x", 0, 30), job("brief", 0, 20), job("y", 0, 60), job("large", 10, 10, gpus=2), job("last", 21, 10)]
    assert waits(AirflowPool([node("a", 2), node("b", 2)]), *jobs) == {"x": 0, "brief": 0, "y": 0, "large": 20, "last": 9}


def test_work_that_is_stopped_is_lost_since_its_last_checkpoint() -> None:
    """At 25 the low one is told to stop, at 30 it has; the high one runs until 40."""
    jobs: Sequence[Job] = (job("low", 0, 100, priority=2, preemptible=True), job("high", 25, 10, priority=8))
    (low, _) = played(Updraft([node("a", 1)], told=False, ageing_s=600.0), *jobs).courses
    assert (low.stops, low.lost_s, low.waited_s, low.held_s, low.late_s) == (1, 30, 10, 130, 40)
    (low, high) = played(Updraft([node("a", 1)], told=False, ageing_s=600.0), *jobs, checkpoint_s=20.0).courses
    assert (low.lost_s, low.held_s, low.late_s, high.waited_s) == (10, 110, 20, 5)


@pytest.mark.parametrize(("later_s", "seen"), [(29, set()), (30, {"early"})])
def test_a_latecomer_in_front_is_seen(later_s: float, seen: set[str]) -> None:
    overtaking = Overtaking(ageing_s=10)
    overtaking.look([job("late", later_s, 1, priority=10), job("early", 0, 1, priority=8)])
    assert overtaking.keys == seen


def test_goodput_counts_what_a_share_keeps_from_others() -> None:
    share = [job("x", 0, 100, 0.25)]
    assert figures([(played(AirflowPool([node("a", 1)]), *share), 1)]).goodput == 0.25
    assert figures([(played(Fifo([node("a", 1)]), *share), 1)]).goodput == 1


def test_quantiles_are_values_that_occurred() -> None:
    assert [quantile([3, 1, 2, 4], part) for part in (0.0, 0.5, 0.75, 0.99)] == [1, 2, 3, 4]


def test_a_cluster_has_room_for_the_largest_and_no_more_gpus_than_asked_for() -> None:
    nodes = [node(f"small-{number}", 2) for number in range(9)] + [node("large", 8)]
    drawn = cluster(nodes, 13, seed=1)
    assert sum(len(one.devices) for one in drawn) == 12
    assert "large" in {one.name for one in drawn}
    assert peak_gpus([job("x", 0, 10, 2), job("y", 10, 10, 2), job("z", 15, 1, 0.5)]) == 2.5


NODES = "sn,cpu_milli,memory_mib,gpu,model\na,32000,65536,2,T4\n"
PODS = "name,num_gpu,gpu_milli,gpu_spec,qos,creation_time,deletion_time\n"
THREE = "p0,1,500,,BE,0,100\np1,2,1000,,LS,10,60\np2,0,0,,LS,10,60\n"


def bench(folder: Path, pods: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "nodes.csv").write_text(NODES)
    (folder / "pods.csv").write_text(pods)
    environment = os.environ | {"NODES": str(folder / "nodes.csv"), "PODS": str(folder / "pods.csv")}
    return subprocess.run([sys.executable, "-m", "bench.queue", *arguments], capture_output=True, text=True, env=environment, check=False)


def test_the_last_line_has_waits_by_system_and_priority(tmp_path: Path) -> None:
    """p1 waits for p0's end, or in our pool for p0 to give way."""
    result = bench(tmp_path, PODS + THREE, "--seeds", "1")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert {name: found["wait_p99_s"][name] for name in ("fifo", "airflow")} == {name: {"8": 90, "2": 0} for name in ("fifo", "airflow")}
    assert found["wait_p99_s"]["updraft"] == {"8": 5, "2": 50}
    assert found["lost_gpu_h"]["updraft"] == pytest.approx(15 * 0.5 / 3600)


def test_a_list_without_times_is_explained(tmp_path: Path) -> None:
    result = bench(tmp_path, "name,num_gpu,gpu_milli\np0,1,500\n")
    assert result.returncode == 2
    assert "column qos, creation_time, deletion_time is missing" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_scheduler_that_goes_round_in_circles_is_found_out() -> None:
    class Restless(Fifo):
        """Tells whatever it starts to stop at once."""

        def turn(self, now: float) -> Turn:
            started = super().turn(now).started
            return Turn(started, started)

        def stopped(self, now: float, job: Job) -> None:
            self.finish(now, job)
            self.submit(now, job)

    with pytest.raises(ComponentError, match="told to stop 1,001 times"):
        played(Restless([node("a", 1)]), job("x", 0, 100))
