"""``python -m bench.queue [--pods list.csv] [--nodes nodes.csv] [--load 1.4] [--seeds 3] [--last 2500 | --full]``, or PODS=, NODES= and
LOAD= set outside.

The trace's pods that want GPUs come and go at its times, on clusters drawn from its nodes that are too small for their peak: the same
work, the same clusters, each scheduler. Then scenes of what only time brings about (``timed``), and the time of a search and a pass on wide
fleets (``wide``), and two teams of which one comes late (``fair``); with ``--scenes`` these alone. A readable table, and as the very last
line one JSON object: ``wait_p99_s`` (system → priority), ``idle_gpu_hours_with_waiters``, ``guarantee_wait_p99_s``, ``needless_victims``
(scene → figure), ``search_s``, ``hard_search_s`` (fleet → seconds), ``pass_s``, ``fair`` (setting → shares of the team that comes late),
``saved`` (what counts as lost → GPU-seconds of work done again, and needlessly).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from bench.placement.trace import read_nodes
from bench.queue import fair, saved, timed, wide
from bench.queue.figures import Figures, figures
from bench.queue.ours import Updraft
from bench.queue.peers import AirflowPool, Fifo
from bench.queue.simulate import Played, Scheduler, play
from bench.queue.table import setting, table
from bench.queue.trace import Job, cluster, cluster_gpus, peak_gpus, placeable, read_jobs
from include.errors import InputError, UpdraftError
from include.placement.node import Node
from include.pool.order import overtaking_s
from include.pool.state import Config

DATA = Path(__file__).parents[1] / "placement" / "data"
LAST = 2500
CHECKPOINT_S = 600.0
AGEING_S = Config().ageing_s
Nodes = Sequence[Node]
SYSTEMS: dict[str, tuple[str, Callable[[Nodes], Scheduler], float | None]] = {
    "fifo": ("FIFO, best fit", Fifo, None),
    "airflow": ("Airflow pool, a slot a GPU", AirflowPool, None),
    "airflow_100": ("Airflow pool, 100 slots a GPU", lambda nodes: AirflowPool(nodes, 100), None),
    "updraft": ("Updraft", lambda nodes: Updraft(nodes, False, AGEING_S), None),
    "updraft_checkpoints": ("Updraft, checkpoints", lambda nodes: Updraft(nodes, False, AGEING_S), CHECKPOINT_S),
    "updraft_told": ("Updraft, durations told", lambda nodes: Updraft(nodes, True, AGEING_S), None),
}
"""Name → title, scheduler, checkpoints."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.queue", description=__doc__)
    pods, nodes = os.environ.get("PODS"), os.environ.get("NODES")
    parser.add_argument("--pods", type=Path, default=Path(pods or DATA / "openb_pod_list_default.csv"))
    parser.add_argument("--nodes", type=Path, default=Path(nodes or DATA / "openb_node_list_gpu_node.csv"))
    parser.add_argument("--load", default=os.environ.get("LOAD") or "1.4", help="the pods' peak demand over each cluster's GPUs")
    parser.add_argument("--seeds", type=int, default=3, help="clusters, drawn by seeds from 1 on")
    parser.add_argument("--last", type=int, default=LAST, help="so many of the list's last GPU pods")
    parser.add_argument("--scenes", action="store_true", help="only what time brings about, and wide fleets: two minutes")
    parser.add_argument("--full", action="store_true", help="all of them")
    chosen = parser.parse_args()
    try:
        chosen.load = float(chosen.load)
    except ValueError:
        parser.error(f"--load: {chosen.load!r} is no number")
    if not 0.1 <= chosen.load <= 100 or chosen.seeds < 1 or chosen.last < 1:
        parser.error("--load: give 0.1 to 100; --seeds and --last: 1 or more")
    return chosen


def run(system: str, seed: int, jobs: list[Job], nodes: list[Node]) -> tuple[Played, float]:
    title, scheduler, checkpoint_s = SYSTEMS[system]
    started = time.process_time()
    played = play(scheduler(nodes), jobs, checkpoint_s=checkpoint_s, ageing_s=AGEING_S, title=f"{title}, cluster {seed}")
    return played, time.process_time() - started


def measure(jobs: list[Job], clusters: dict[int, list[Node]]) -> dict[str, Figures]:
    """Every system on every cluster, in two processes, the slow ones first. What one cluster could never place is left out on it."""
    found: dict[str, list[tuple[Played, int]]] = {system: [] for system in SYSTEMS}
    fitting = {seed: [job for job in jobs if placeable(job, nodes)] for seed, nodes in clusters.items()}
    if not all(fitting.values()):
        raise InputError("no pod ever fits it", where=f"cluster {min(fitting, key=lambda seed: len(fitting[seed]))}", remedy="Lower LOAD=.")
    pool = ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1))
    try:
        waiting = [
            (system, seed, pool.submit(run, system, seed, fitting[seed], nodes))
            for system in reversed(SYSTEMS)
            for seed, nodes in clusters.items()
        ]
        for number, (system, seed, future) in enumerate(waiting, start=1):
            played, seconds = future.result()
            found[system].append((played, cluster_gpus(clusters[seed])))
            note = f"{number}/{len(waiting)} {SYSTEMS[system][0]}, cluster {seed}: {played.turns:,} turns in {seconds:.1f} s"
            print(f"  {note}", file=sys.stderr, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    return {system: figures(runs) for system, runs in found.items()}


def over_time(seeds: int) -> dict[str, object]:
    """What only time brings about, and how long the pool's own code takes; printed for people, returned as JSON."""
    found = {scene.title: timed.play(scene) for scene in timed.scenes()}
    names = ("idle_gpu_hours_with_waiters", "guarantee_wait_p99_s", "needless_victims")
    speed = {"search_s": wide.search_s(), "pass_s": wide.pass_s()}
    hard = wide.hard_search_s()
    late, lost = fair.measure(seeds), saved.measure(seeds)
    print(timed.table(found), "\n\n", fair.table(late), "\n\n", saved.table(lost), "\n", sep="")
    print(f"A search on 50 nodes of 16: {speed['search_s'] * 1000:.0f} ms; a pass, 10,000 waiting on 1,000 nodes: {speed['pass_s']:.2f} s.")
    print("The slowest on harder fleets:", ", ".join(f"{name} {1000 * took:.0f} ms" for name, took in hard.items()), end=".\n\n")
    return (
        {name: {title: getattr(one, name) for title, one in found.items()} for name in names}
        | speed
        | {"hard_search_s": hard, "fair": late, "saved": lost}
    )


def main() -> int:
    chosen = options()
    timely = over_time(chosen.seeds)
    if chosen.scenes:
        print(json.dumps(timely))
        return 0
    try:
        jobs = read_jobs(chosen.pods, 0 if chosen.full else chosen.last)
        nodes = read_nodes(chosen.nodes)
        clusters = {seed: cluster(nodes, peak_gpus(jobs) / chosen.load, seed) for seed in range(1, chosen.seeds + 1)}
        found = measure(jobs, clusters)
    except UpdraftError as error:
        print(f"bench.queue: {error}", file=sys.stderr)
        return 2
    left_out = sum(not placeable(job, nodes) for nodes in clusters.values() for job in jobs)
    print(setting(jobs, [cluster_gpus(nodes) for nodes in clusters.values()], left_out, CHECKPOINT_S))
    print(table({title: found[system] for system, (title, *_) in SYSTEMS.items()}, AGEING_S))
    by_figure = {name: {system: asdict(one)[name] for system, one in found.items()} for name in asdict(found["updraft"])}
    bounds = {priority: overtaking_s(priority, AGEING_S) for priority in found["updraft"].jobs}
    print(json.dumps(by_figure | {"overtaking_bound_s": bounds, "load": chosen.load, "pods": len(jobs)} | timely))
    return 0


if __name__ == "__main__":
    sys.exit(main())
