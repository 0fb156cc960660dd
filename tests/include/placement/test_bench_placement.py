"""The benchmark's own promises: the rules of the arrivals, the last line, bad lists."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bench.placement import mig
from bench.placement.__main__ import DATA
from bench.placement.churn import Scene, Stay, at_load, small_fleet
from bench.placement.churn import run as play
from bench.placement.measure import run
from bench.placement.timed import first_timed, interval, over_best_peer
from bench.placement.trace import arrivals, demand_milli, read_nodes, read_pods
from bench.placement.variants import variants
from include.errors import InputError
from include.placement.node import Device, Node
from include.placement.workload import Workload

NODES = "sn,cpu_milli,memory_mib,gpu,model\na,32000,65536,2,T4\nb,32000,65536,2,T4\n"
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np0,1000,1024,1,500,T4\np1,1000,1024,1,1000,\np2,1000,1024,0,0,\n"


def lists(folder: Path, pods: str = PODS) -> tuple[Path, Path]:
    (folder / "nodes.csv").write_text(NODES)
    (folder / "mine.csv").write_text(pods)
    return folder / "nodes.csv", folder / "mine.csv"


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.placement", *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_the_trace_is_the_published_cluster() -> None:
    nodes = read_nodes(DATA / "openb_node_list_gpu_node.csv")
    assert (len(nodes), sum(len(node.devices) for node in nodes)) == (1213, 6212)


def test_arrivals_stop_just_under_the_demand_and_repeat_by_seed() -> None:
    pods = read_pods(DATA / "openb_pod_list_default.csv")
    coming = arrivals(pods, 6_212_000, 42)
    assert 1.3 * 6_212_000 - 8000 <= sum(demand_milli(pod) for pod in coming) <= 1.3 * 6_212_000
    assert coming == arrivals(pods, 6_212_000, 42) != arrivals(pods, 6_212_000, 43)


def test_one_seed_shows_updraft_over_fgd_and_fgd_near_the_published_figure() -> None:
    nodes, pods = read_nodes(DATA / "openb_node_list_gpu_node.csv"), read_pods(DATA / "openb_pod_list_default.csv")
    fgd, ours = run("FGD", nodes, pods, 42), run("Updraft", nodes, pods, 42)
    assert fgd.allocation_pct == pytest.approx(95.39, abs=0.8)
    assert ours.allocation_pct > fgd.allocation_pct + 0.3


def test_the_last_line_is_the_result_with_lists_from_the_environment(tmp_path: Path) -> None:
    nodes, pods = lists(tmp_path)
    done = bench("--seeds", "2", "--parts", "lists", NODES=str(nodes), PODS=str(pods))
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result["allocation"]["mine"]) == {"Random", "BestFit", "FGD", "Updraft"}
    assert result["placements_per_s"] > 0


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ("cpu_milli,num_gpu\n1,1\n", "column memory_mib, gpu_milli is missing"),
        (PODS.replace("1,500", "1,x"), "mine.csv:2: gpu_milli is 'x'"),
        (PODS.replace("1,500", "2,500"), "num_gpu 2 with gpu_milli 500"),
    ],
)
def test_a_bad_list_is_explained_by_file_line_and_field(tmp_path: Path, pods: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_pods(lists(tmp_path, pods)[1])


def test_a_cluster_without_gpus_and_a_list_without_gpu_requests_are_explained(tmp_path: Path) -> None:
    nodes, pods = lists(tmp_path, PODS.splitlines()[0] + "\np0,1000,1024,0,0,\n")
    done = bench("--seeds", "1", NODES=str(nodes), PODS=str(pods))
    assert done.returncode == 2 and "no pod asks for a GPU" in done.stderr and "Traceback" not in done.stderr
    nodes.write_text(NODES.replace(",2,T4", ",0,"))
    with pytest.raises(InputError, match="no node has a GPU"):
        read_nodes(nodes)


def test_a_missing_list_ends_without_a_traceback(tmp_path: Path) -> None:
    done = bench("--pods", str(tmp_path / "none.csv"))
    assert done.returncode == 2
    assert "no such file" in done.stderr and "Traceback" not in done.stderr


def test_variants_keep_to_their_mix_and_repeat() -> None:
    pods = read_pods(DATA / "openb_pod_list_default.csv")
    made = variants(pods, ["T4", "G2"])
    shared = sum(pod.milli for pod in made["share60"]) / sum(demand_milli(pod) for pod in made["share60"])
    limited = [bool(pod.models) for pod in made["models 33%"] if pod.devices]
    assert shared == pytest.approx(0.6, abs=0.01)
    assert sum(limited) / len(limited) == pytest.approx(0.33, abs=0.02)
    assert not any(pod.milli for pod in made["whole"])
    assert made == variants(pods, ["T4", "G2"])


ONE = [Node("a", 10**6, 10**6, (Device("a/0", "T4"), Device("a/1", "T4")))]


def scene(stays: list[Stay], queued: bool) -> Scene:
    return Scene(queued, lambda seed: (ONE, stays))


def test_who_finds_no_room_goes_away_or_waits_for_it() -> None:
    """Two GPUs; the window begins with the second arrival, at 0 s, and ends with the last, at 100 s."""
    stays = [Stay(0, 60, Workload(gpus=2)), Stay(0, 60, Workload(gpus=1)), Stay(100, 1, Workload(gpus=1))]
    gone, kept = play("BestFit", scene(stays, False), 1), play("BestFit", scene(stays, True), 1)
    assert gone.utilisation == pytest.approx(100 * 60 * 2 / 200)
    assert kept.utilisation == pytest.approx(100 * (60 * 2 + 40 * 1) / 200)
    assert kept.allocation == pytest.approx(100)  # while somebody waited both were in use
    assert gone.accepted == kept.accepted == pytest.approx(200 / 3)


def test_arrivals_come_so_fast_that_the_load_is_as_wanted() -> None:
    stays = [Stay(at, 30, Workload(gpus=1)) for at in range(0, 10_000, 50)]
    faster = at_load(stays, 10, 1.3)
    start, end = faster[int(0.3 * len(faster))].at, faster[-1].at
    wanted = sum(max(0.0, min(one.at + 30, end) - max(one.at, start)) for one in faster) / (end - start)
    assert wanted == pytest.approx(13, rel=0.02)
    assert [one.duration_s for one in faster] == [30] * len(stays)


def test_small_fleets_are_five_machines_of_four_gpus_and_repeat_by_seed() -> None:
    fleet = small_fleet(random.Random(3))
    assert sum(len(node.devices) for node in fleet) == 20
    assert len({node.name.partition("-")[0] for node in fleet}) == 5
    assert fleet == small_fleet(random.Random(3)) != small_fleet(random.Random(4))


def test_cutting_anew_accepts_more_than_any_fixed_cut() -> None:
    accepted = {way: mig.accepted(way, "mixed", 1) for way in (*mig.FIXED, mig.FIRST_FIT, "Updraft")}
    assert accepted["Updraft"] > max(accepted[way] for way in mig.FIXED) + 5


def test_a_difference_is_told_by_seed_with_its_interval(tmp_path: Path) -> None:
    assert interval([1.0, 3.0])[0] == 2 and interval([1.0, 3.0])[1] < 1
    assert interval([1.0]) == (1.0, -float("inf"), float("inf"))
    stays = [Stay(at, 60, Workload(gpus=1)) for at in range(0, 1000, 20)]
    courses = {policy: [play(policy, scene(stays, True), seed) for seed in (1, 2)] for policy in ("BestFit", "Updraft")}
    assert over_best_peer(courses, "utilisation")[0] == "BestFit"
    assert first_timed([lists(tmp_path)[1]]) is None
