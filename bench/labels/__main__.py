"""``python -m bench.labels [--seeds 10] [--quick] [--peers]``.

How many labels choosing saves: 20 pairs of a dataset and a classifier, each lived through by the platform's own choice (a quarter of each
round at random, the rest those that the model is least sure of) and by drawing, from the same first rows. ``--peers``: scikit-activeml and
small-text beside them, each in an environment of its own that is thrown away. A readable table, and as the very last line one JSON object:
``labels_saved_pct`` (dataset → classifier → percent), ``worst_points`` (by how many points the platform's choice is behind drawing: in the
end, of the worst pair, and at the worst moment of the worst pair), ``peers``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence

from bench.labels import peers
from bench.labels.lives import at_random, life, ours, saved_pct
from bench.labels.pools import CLASSIFIERS, SIZES, pool
from include.errors import UpdraftError

QUICK = 2
SMALL = 3
"""So many times as often a pair of few rows is lived through: its figures scatter more, and it costs less."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.labels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help=f"lives of each pair with digits, {SMALL} times as many of each other")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} lives of each pair")
    parser.add_argument("--peers", action="store_true", help="scikit-activeml and small-text too, fetched from the package index")
    chosen = parser.parse_args()
    chosen.seeds = QUICK if chosen.quick else chosen.seeds
    if chosen.seeds < 1:
        parser.error("--seeds: 1 or more")
    return chosen


def mean(curves: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean curve."""
    return [statistics.fmean(values) for values in zip(*curves, strict=True)]


def main() -> int:
    chosen, started = options(), time.monotonic()
    saved: dict[str, dict[str, float]] = {}
    in_the_end: list[float] = []
    anywhere: list[float] = []
    random_curves: dict[tuple[str, str], list[float]] = {}
    print(f"{'dataset':16}{'classifier':12}{'labels':>8}{'drawn':>8}{'ours':>8}{'saved %':>9}{'behind at worst':>17}")
    for name, (first, tasks, rounds) in SIZES.items():
        pools = [pool(name, seed) for seed in range(chosen.seeds * (1 if name == peers.PAIR[0] else SMALL))]
        for classifier in CLASSIFIERS:
            drawn = mean([life(one, classifier, at_random, seed) for seed, one in enumerate(pools)])
            mine = mean([life(one, classifier, ours, seed) for seed, one in enumerate(pools)])
            random_curves[name, classifier] = drawn
            percent = saved_pct(mine, drawn, first, tasks)
            saved.setdefault(name, {})[classifier] = round(percent, 1)
            in_the_end.append(100 * (drawn[-1] - mine[-1]))
            anywhere.append(max(100 * (theirs - own) for theirs, own in zip(drawn, mine, strict=True)))
            print(
                f"{name:16}{classifier:12}{first + tasks * rounds:8}{drawn[-1]:8.3f}{mine[-1]:8.3f}{percent:9.1f}{anywhere[-1]:17.2f}",
                flush=True,
            )
    worst = {"in_the_end": round(max(in_the_end), 2), "at_any_moment": round(max(anywhere), 2)}
    print(f"behind drawing by {worst['in_the_end']} points in the end, by {worst['at_any_moment']} at any moment, of the worst pair")
    beside = peers.run(chosen.seeds, random_curves[peers.PAIR]) if chosen.peers else {}
    for system, percent in beside.items():
        print(f"{system:28} {' with '.join(peers.PAIR)}: {percent:.1f} % fewer labels than drawing")
    result = {"labels_saved_pct": saved, "worst_points": worst, "peers": beside, "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        sys.exit(1)
