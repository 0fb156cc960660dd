"""``python -m bench.judge [--runs 400] [--seed 1]``: a readable table, and as the very last line one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.judge import answers, ours, peers
from bench.judge.simulate import Scenario, Stream, simulate

RATES = (1, 5, 50)
NO_CHANGE_FACTOR = 5
"""Rows without harm run this many times as often: a rate near 5 % needs it to be told from 5 %."""
Minutes = NDArray[np.float64]
PEERS: dict[str, Callable[[Stream, Stream], Minutes]] = {
    "fixed": peers.fixed_threshold,
    "naive_z": peers.naive_z,
    "mann_whitney": peers.mann_whitney,
}
METHODS = ("updraft", *PEERS)


def scenarios(rate: float) -> list[Scenario]:
    return [
        Scenario("no change", rate),
        Scenario("no change, 5 % refused", rate, stable_refused=0.05, canary_refused=0.05),
        Scenario("refused 0→2 %", rate, canary_refused=0.02),
        Scenario("errors 1→2 %", rate, canary_errors=0.02),
        Scenario("errors 1→5 %", rate, canary_errors=0.05),
        Scenario("latency +5 %", rate, slower=0.05),
        Scenario("latency +10 %", rate, slower=0.10),
        Scenario("5 % of answers broken", rate, live_differ=0.01 + 0.05 * 0.99),
    ]


def interval(found: int, runs: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, p = 1.96, found / runs
    middle, half = p + z * z / (2 * runs), z * np.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs))
    return float((middle - half) / (1 + z * z / runs)), float((middle + half) / (1 + z * z / runs))


def measure(scenario: Scenario, runs: int, rng: np.random.Generator) -> dict[str, Any]:
    """One row: share of runs with an alarm, its interval and the median minutes (None when under half are found), by method."""
    times: dict[str, Minutes] = {name: np.empty(0) for name in METHODS}
    promoted = 0
    for size in [min(400, runs - first) for first in range(0, runs, 400)]:
        stable, canary = simulate(scenario, size, rng)
        minutes, ended_well = ours.detect(stable, canary)
        by_answers = answers.detect(scenario, size, rng.spawn(1)[0])
        promoted += int((ended_well & np.isnan(by_answers)).sum())
        times["updraft"] = np.append(times["updraft"], np.fmin(minutes, by_answers))
        for name, judge in PEERS.items():
            times[name] = np.append(times[name], judge(stable, canary))
    row: dict[str, Any] = {"scenario": scenario.name, "rate": scenario.rate, "runs": runs, "promoted": promoted / runs}
    for name, minutes in times.items():
        found = int(np.isfinite(minutes).sum())
        median = float(np.median(np.where(np.isnan(minutes), np.inf, minutes)))
        row[name] = {"share": found / runs, "interval": interval(found, runs), "median_minutes": median if np.isfinite(median) else None}
    return row


def cell(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    median = "    –" if figure["median_minutes"] is None else f"{figure['median_minutes']:5.1f}"
    return f"{100 * figure['share']:5.1f} [{100 * low:4.1f}-{100 * high:5.1f}] {median}"


def show(rows: list[dict[str, Any]]) -> None:
    print("Runs with a rollback in one hour: per cent [95 % interval] median minutes (– : under half). 'no change' rows are false alarms.")
    print(
        "Looks every 10 s, equal arms, Poisson requests, lognormal latencies (sigma 0.5). "
        "Updraft: alpha 5 %, margins 0, absolute limits off; answers: 1,500 rows, margin 1 %."
    )
    print("fixed: over 2 % errors in a minute, 5 strikes. naive z: 5 % at every look. Mann-Whitney: tolerance 25 %, per minute.\n")
    print(
        f"{'req/s':>5}  {'scenario':22} {'runs':>5}  {'updraft':26}{'fixed threshold':26}{'naive z':26}{'Mann-Whitney':26}{'promoted':>8}"
    )
    for row in rows:
        cells = "".join(f"{cell(row[name]):26}" for name in METHODS)
        print(f"{row['rate']:>5}  {row['scenario']:22} {row['runs']:>5}  {cells}{100 * row['promoted']:7.1f}%")


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON object: our figures under the names of the target, each peer's under its own name."""

    def of(name: str) -> dict[str, Any]:
        by = {(row["scenario"], row["rate"]): row[name] for row in rows}
        return {
            "false_alarm_rate_max": max(row[name]["share"] for row in rows if row["scenario"].startswith("no change")),
            "detection_1_to_2pct_1rps": by["errors 1→2 %", 1]["share"],
            "median_minutes_1_to_2pct_1rps": by["errors 1→2 %", 1]["median_minutes"],
            "median_minutes_1_to_5pct_1rps": by["errors 1→5 %", 1]["median_minutes"],
            "detection_refused_2pct_1rps": by["refused 0→2 %", 1]["share"],
            "detection_latency_5pct_1rps": by["latency +5 %", 1]["share"],
            "detection_broken_answers_5pct_1rps": by["5 % of answers broken", 1]["share"],
        }

    promoted = {f"{row['rate']}rps": row["promoted"] for row in rows if row["scenario"] == "no change"}
    return of("updraft") | {"promoted_no_change": promoted} | {name: of(name) for name in PEERS}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.judge", description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="runs of each row with harm; rows without run five times as often")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random streams")
    args = parser.parse_args()
    if args.runs < 1:
        parser.error("--runs must be at least 1")
    started, rows = time.monotonic(), []
    todo = [scenario for rate in RATES for scenario in scenarios(rate)]
    for index, scenario in enumerate(todo):
        runs = args.runs * (NO_CHANGE_FACTOR if scenario.harmless else 1)
        print(f"[{index + 1}/{len(todo)}] {scenario.rate} requests/s, {scenario.name}, {runs} runs", file=sys.stderr, flush=True)
        rows.append(measure(scenario, runs, np.random.default_rng([args.seed, index])))
    show(rows)
    elapsed = time.monotonic() - started
    print(f"\n{elapsed:.0f} s")
    print(json.dumps(figures(rows) | {"runs": args.runs, "seed": args.seed, "seconds": round(elapsed, 1)}, ensure_ascii=False))


if __name__ == "__main__":
    main()
