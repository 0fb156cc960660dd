"""The benchmark's own promises: the rules of the arrivals, the last line, bad lists."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.placement.__main__ import DATA
from bench.placement.measure import run
from bench.placement.trace import arrivals, demand_milli, read_nodes, read_pods
from bench.placement.variants import variants
from include.errors import InputError

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
    done = bench("--seeds", "2", NODES=str(nodes), PODS=str(pods))
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
