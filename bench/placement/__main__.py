"""``python -m bench.placement [--pods list.csv ...] [--nodes nodes.csv] [--seeds 10] [--variants] [--parts lists churn mig]``, or PODS= and
NODES= set outside.

Readable tables, and as the very last line one JSON object: ``allocation`` (list → policy → %), ``placements_per_s``, ``churn`` (list →
policy → ``allocation``, ``utilisation``, ``accepted``, %) and ``mig`` (mix → way to cut → accepted, %). ``--variants`` measures lists made
from one list (``default``, else the first given) in place of the lists themselves. Under churn the lists are made from the first that has
times.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bench.placement.measure import POLICIES, Run, run
from bench.placement.timed import churn_summary, first_timed, mig_cuts, show_churn, show_mig, under_churn
from bench.placement.trace import read_nodes, read_pods
from bench.placement.variants import variants
from include.errors import UpdraftError
from include.placement.node import Node
from include.placement.workload import Workload

DATA = Path(__file__).parent / "data"
FIRST_SEED = 42
PARTS = ("lists", "churn", "mig")
Runs = dict[str, dict[str, list[Run]]]
"""List → policy → one run a seed."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.placement", description=__doc__)
    listed = os.environ.get("PODS", "").replace(",", " ").split()
    parser.add_argument("--pods", nargs="+", type=Path, default=[Path(one) for one in listed] or sorted(DATA.glob("openb_pod_list_*.csv")))
    parser.add_argument("--nodes", type=Path, default=Path(os.environ.get("NODES") or DATA / "openb_node_list_gpu_node.csv"))
    parser.add_argument("--seeds", type=int, default=10, help=f"runs a list and policy, from seed {FIRST_SEED} (published: 10)")
    parser.add_argument("--variants", action="store_true", help="measure lists made from one (bench/placement/variants.py)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is measured (all)")
    chosen = parser.parse_args()
    if chosen.seeds < 1:
        parser.error("--seeds: give 1 or more")
    return chosen


def list_name(path: Path) -> str:
    return path.stem.removeprefix("openb_pod_list_")


def published() -> dict[str, dict[str, float]]:
    with (DATA / "published.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["workload"]: {name: float(row[name]) for name in POLICIES if name in row} for row in rows}


def measure(nodes: list[Node], lists: dict[str, list[Workload]], seeds: int) -> Runs:
    """Every list, policy and seed, in two processes."""
    found: Runs = {}
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        for name, pods in lists.items():
            waiting = {policy: [pool.submit(run, policy, nodes, pods, FIRST_SEED + index) for index in range(seeds)] for policy in POLICIES}
            found[name] = {policy: [future.result() for future in futures] for policy, futures in waiting.items()}
            done = ", ".join(f"{policy} {mean(one.allocation_pct for one in runs):.2f}" for policy, runs in found[name].items())
            print(f"  {len(found)}/{len(lists)} {name}: {done}", file=sys.stderr, flush=True)
    return found


def show(found: Runs, seeds: int) -> None:
    known = published()
    print(f"GPU allocation, % of the cluster, when 130 % of its GPUs have been asked for; mean of {seeds} seeds from {FIRST_SEED}.")
    print("± is the standard deviation between seeds; in brackets the published mean, where there is one.\n")
    print(f"{'list':14}" + "".join(f"{policy:>22}" for policy in POLICIES) + f"{'over published FGD':>22}")
    for name, by_policy in found.items():
        line = f"{name:14}"
        for policy, runs in by_policy.items():
            shares = [one.allocation_pct for one in runs]
            spread = stdev(shares) if len(shares) > 1 else 0.0
            book = f"[{known[name][policy]:.2f}]" if policy in known.get(name, {}) else ""
            line += f"{mean(shares):>8.2f} ±{spread:4.2f}{book:>8}"
        gain = f"{mean(one.allocation_pct for one in by_policy['Updraft']) - known[name]['FGD']:+.2f}" if name in known else "–"
        print(line + f"{gain:>22}")
    print("\nRequests placed per second of CPU time, on one core (all requests, refusals too, in brackets):")
    for policy, (placed, handled) in speeds(found).items():
        print(f"  {policy:8} {placed:8,.0f} [{handled:,.0f}]")


def speeds(found: Runs) -> dict[str, tuple[float, float]]:
    """Placed and handled per second, by policy, over all lists and seeds."""
    result = {}
    for policy in POLICIES:
        runs = [one for by_policy in found.values() for one in by_policy[policy]]
        seconds = sum(one.seconds for one in runs)
        result[policy] = (sum(one.placed for one in runs) / seconds, sum(one.requests for one in runs) / seconds)
    return result


def summary(found: Runs) -> dict[str, Any]:
    allocation = {
        name: {policy: round(mean(one.allocation_pct for one in runs), 3) for policy, runs in by_policy.items()}
        for name, by_policy in found.items()
    }
    by_policy = {policy: round(placed) for policy, (placed, _) in speeds(found).items()}
    return {
        "allocation": allocation,
        "placements_per_s": by_policy["Updraft"],
        "placements_per_s_by_policy": by_policy,
        "published": published(),
    }


def main() -> int:
    chosen = options()
    try:
        nodes = read_nodes(chosen.nodes)
        lists = {list_name(path): read_pods(path) for path in chosen.pods}
        if chosen.variants:
            first = lists.get("default") or next(iter(lists.values()))
            lists = variants(first, [device.model for node in nodes for device in node.devices])
        timed = first_timed(chosen.pods) if "churn" in chosen.parts else None
        found = measure(nodes, lists, chosen.seeds) if "lists" in chosen.parts else {}
        seeds = range(FIRST_SEED, FIRST_SEED + chosen.seeds)
        churned = under_churn(nodes, timed, seeds) if timed is not None else {}
        cut = mig_cuts(seeds) if "mig" in chosen.parts else {}
    except UpdraftError as error:
        print(f"bench.placement: {error}", file=sys.stderr)
        return 2
    result: dict[str, Any] = {}
    if found:
        show(found, chosen.seeds)
        result |= summary(found)
    if churned:
        show_churn(churned)
        result["churn"] = churn_summary(churned)
    if cut:
        show_mig(cut)
        result["mig"] = {mix: {way: round(mean(values), 2) for way, values in ways.items()} for mix, ways in cut.items()}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
