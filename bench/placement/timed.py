"""Lists under churn and MIG mixes, over seeds: run, shown and told."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean, stdev

from bench.placement import mig
from bench.placement.churn import Course, read_stays, run, scenes
from bench.placement.measure import POLICIES
from include.placement.node import Node

FIGURES = ("allocation", "utilisation", "accepted")
OURS = "Updraft"
Z = 1.96
"""Intervals hold 95 % by the normal distribution: over few seeds they are a little too narrow."""
Churned = dict[str, dict[str, list[Course]]]
"""List → policy → one course a seed."""
Cuts = dict[str, dict[str, list[float]]]
"""Mix → way to cut → % accepted, one a seed."""


def first_timed(paths: Sequence[Path]) -> Path | None:
    """The default list if it is among them and has times, else the first that has; None, and said, if none has."""
    for path in sorted(paths, key=lambda path: "default" not in path.name):
        if path.is_file():
            with path.open(newline="") as file:
                if {"creation_time", "deletion_time"} <= set(next(csv.reader(file), [])):
                    return path
    print("  no list has creation_time and deletion_time: nothing is measured under churn", file=sys.stderr)
    return None


def under_churn(nodes: Sequence[Node], path: Path, seeds: Sequence[int]) -> Churned:
    """Every list, policy and seed, in two processes."""
    stays, found = read_stays(path), Churned()
    names = list(scenes(nodes, stays))
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        for name in names:
            waiting = {policy: [pool.submit(_run, policy, nodes, path, name, seed) for seed in seeds] for policy in POLICIES}
            found[name] = {policy: [future.result() for future in futures] for policy, futures in waiting.items()}
            done = ", ".join(f"{policy} {mean(one.utilisation for one in courses):.2f}" for policy, courses in found[name].items())
            print(f"  {len(found)}/{len(names)} {name}: utilisation {done}", file=sys.stderr, flush=True)
    return found


def _run(policy: str, nodes: Sequence[Node], path: Path, scene: str, seed: int) -> Course:
    return run(policy, scenes(nodes, read_stays(path))[scene], seed)


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval; infinitely wide over one seed."""
    middle = mean(differences)
    half = Z * stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("inf")
    return middle, middle - half, middle + half


def over_best_peer(by_policy: dict[str, list[Course]], figure: str) -> tuple[str, float, float, float]:
    """The peer with the highest mean, and by how much ours is over it, seed by seed."""
    peers = [policy for policy in by_policy if policy != OURS]
    best = max(peers, key=lambda policy: mean(getattr(one, figure) for one in by_policy[policy]))
    pairs = zip(by_policy[OURS], by_policy[best], strict=True)
    return best, *interval([getattr(mine, figure) - getattr(theirs, figure) for mine, theirs in pairs])


def show_churn(found: Churned) -> None:
    seeds = len(next(iter(next(iter(found.values())).values())))
    print(f"\nUnder churn, %, mean of {seeds} seeds: of the GPUs in use while somebody finds no room (allocation), over all (utilisation);")
    print("of requests with a place at once (accepted). Last: Updraft over the best peer, seed by seed, with its 95 % interval.\n")
    print(f"{'list':20}{'':13}" + "".join(f"{policy:>10}" for policy in POLICIES) + "   over the best peer")
    for name, by_policy in found.items():
        for figure in FIGURES:
            means = "".join(f"{mean(getattr(one, figure) for one in courses):10.2f}" for courses in by_policy.values())
            best, middle, low, high = over_best_peer(by_policy, figure)
            word = "ahead" if low > 0 else "behind" if high < 0 else "not told apart"
            print(f"{name if figure == FIGURES[0] else '':20}{figure:13}{means}   {best} {middle:+.2f} [{low:+.2f}, {high:+.2f}] {word}")


def churn_summary(found: Churned) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {
            policy: {figure: round(mean(getattr(one, figure) for one in courses), 3) for figure in FIGURES}
            for policy, courses in by_policy.items()
        }
        for name, by_policy in found.items()
    }


def mig_cuts(seeds: Sequence[int]) -> Cuts:
    """Every mix, way and seed."""
    ways = (*mig.FIXED, mig.FIRST_FIT, OURS)
    return {mix: {way: [mig.accepted(way, mix, seed) for seed in seeds] for way in ways} for mix in mig.MIXES}


def show_mig(found: Cuts) -> None:
    print(f"\nMIG instances on {mig.GPUS} {mig.MODEL} at a load of {mig.LOAD}: % of requests that have one at once.\n")
    ways = list(next(iter(found.values())))
    print(f"{'mix':8}" + "".join(f"{way:>18}" for way in ways) + "   re-cutting over the best fixed cut")
    for mix, by_way in found.items():
        best = max(mig.FIXED, key=lambda way: mean(by_way[way]))
        middle, low, high = interval([mine - theirs for mine, theirs in zip(by_way[OURS], by_way[best], strict=True)])
        print(f"{mix:8}" + "".join(f"{mean(by_way[way]):18.2f}" for way in ways) + f"   {middle:+.2f} [{low:+.2f}, {high:+.2f}]")
