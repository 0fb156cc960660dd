"""``python -m bench.watch [--champions 400] [--days 1000] [--rules 100] [--seed 1]``: tables, and as the very last line one JSON object.

Beside it, real Prometheus and Alertmanager with the published rules, in real time (ten minutes); ``--rules 0`` leaves them out.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from bench.watch import rules
from bench.watch.simulate import World, bad_seconds, false_rollbacks

AT_ONCE = 4000
"""Champions that share the days without harm: young ones, whose first trials have the most of alpha."""
CASES = {"1 → 20 %": World(), "1 → 50 %": World(bad=0.5), "1 → 5 %": World(bad=0.05)}


def found(name: str, world: World, champions: int, rng: np.random.Generator) -> dict[str, Any]:
    """One row: how long callers got bad answers, from the first to the last."""
    seconds, missed = bad_seconds(world, champions, rng)
    p50, p95 = (float(np.quantile(seconds, q)) for q in (0.5, 0.95))
    print(f"{name:10} {world.rate:>6g}/s {champions:>9} {p50:>12.1f} {p95:>12.1f} {missed:>22}")
    return {"p50_seconds_bad": round(p50, 2), "p95_seconds_bad": round(p95, 2), "missed": missed}


def with_rules(champions: int, seed: int) -> dict[str, Any]:
    """The same champions before real Prometheus and Alertmanager: the table, and its rows by rule."""
    print(f"\nReal Prometheus and Alertmanager, looked at every {rules.EVERY_S} s; {champions} champions a row, in real time:")
    found = rules.bad_seconds(CASES, champions, np.random.default_rng([seed, 7]))
    false = rules.false_alarms(World(), champions, np.random.default_rng([seed, 8]))
    print(f"{'rule':28} {'errors':10} {'median':>8} {'p95':>8} {'not in 5 min':>13} {'fired before':>13} {'false in 1,000 days':>20}")
    for rule, cases in found.items():
        for case, row in cases.items():
            p50, p95 = (row[name] or "-" for name in ("p50", "p95"))
            print(f"{rule:28} {case:10} {p50:>8} {p95:>8} {row['missed']:>13} {row['before']:>13} {false[rule]:>20.0f}")
    return {rule: {"cases": cases, "false_per_1000_days": false[rule]} for rule, cases in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.watch", description=__doc__)
    parser.add_argument("--champions", type=int, default=400, help="champions that go bad, a row")
    parser.add_argument("--days", type=int, default=1000, help="champion-days without harm")
    parser.add_argument("--rules", type=int, default=100, help="champions a row, and champion-days, before real Prometheus; 0: without")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random streams")
    args = parser.parse_args()
    if args.champions < 1 or args.days < 1:
        parser.error("--champions and --days must be at least 1")
    started = time.monotonic()
    print("A champion's errors rise; the version before stands by. Seconds from the first to the last bad answer that a caller got.")
    print("Simulated requests, the watch's own tests; 0.25 s until a request is in the log, 0.5 s until the gateway has moved traffic.\n")
    print(f"{'errors':10} {'rate':>8} {'champions':>9} {'median':>12} {'p95':>12} {'still in production':>22}")
    rows = {
        name: found(name, world, args.champions, np.random.default_rng([args.seed, n])) for n, (name, world) in enumerate(CASES.items())
    }
    suspicions, rollbacks = false_rollbacks(World(), AT_ONCE, args.days / AT_ONCE, np.random.default_rng([args.seed, 99]))
    print(f"\n{args.days} champion-days without harm at 5 requests/s, 1 % errors: {suspicions} suspicions, {rollbacks} false rollbacks.")
    beside = with_rules(args.rules, args.seed) if args.rules else {}
    elapsed = time.monotonic() - started
    print(f"{elapsed:.0f} s")
    figures = {
        "p95_seconds_bad": rows["1 → 20 %"]["p95_seconds_bad"],
        "false_rollbacks_per_1000_days": 1000 * rollbacks / args.days,
        "suspicions_per_day": suspicions / args.days,
        "rows": rows,
        "prometheus": beside,
    }
    print(json.dumps(figures | {"champions": args.champions, "days": args.days, "seed": args.seed, "seconds": round(elapsed, 1)}))


if __name__ == "__main__":
    main()
