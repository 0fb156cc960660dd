"""``python -m bench.drift [--models 100] [--column-lives 4] [--seed 1]``: readable tables, and as the very last line one JSON object.

Lives of models whose streams change at a known row: generated ones, and real rows of the census. ``false_alarms``: share of models ever
alarmed over 1,000 looks without harm, by rows a look; the inputs change harmlessly from look 500 on (methods that look at columns have a
few lives of 200 looks). ``found``: share alarmed
within 40,000 rows of a harm (behind 100 looks without); those alarmed before it don't count as found. ``rows_to_detection``: the median of
these, from the harm on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.drift import census
from bench.drift.columns import evidently_columns, evidently_defaults, first_alarm, ks_bonferroni
from bench.drift.lives import ALPHA, HELD_OUT, MARGIN, TRAIN, Cbpe, Lives, PageHinkley, Pools, Watched, pools
from bench.drift.streams import STREAMS, Stream

LOOKS, CALM_LOOKS = 1_000, 100
BATCHES = (50, 200, 1_000)
BATCH = 200
"""Rows a look, of the lives that come to harm."""
MOST_ROWS = 40_000
LATE_ROWS = 1_000
COLUMN_LOOKS = 200
"""Of a life of those methods that look at each row's columns: a test takes a thousand times as long."""
OURS = {"ours, labels at once": 0, f"ours, labels {LATE_ROWS} rows late": LATE_ROWS // BATCH, "ours, no labels": None}
PEERS: dict[str, Callable[[Lives], Any]] = {"Page-Hinkley, labels at once": PageHinkley, "CBPE and 3 deviations": Cbpe}
COLUMN_METHODS = {"Evidently's defaults": evidently_defaults, "KS with Bonferroni": ks_bonferroni}
Json = dict[str, Any]


def drive(lives: Lives, looks: dict[str, Any], tables: list[tuple[Any, int]], batch: int, rng: np.random.Generator) -> dict[str, Any]:
    """The look (from 0) at which each life is first alarmed, by method; -1 for none [models]. All methods see the same rows."""
    first, number = {name: np.full(len(lives.accepted), -1) for name in looks}, 0
    for table, count in tables:
        for cells in rng.multinomial(batch, table, size=(count, len(table))).astype(float):
            for name, look in looks.items():
                first[name] = np.where((first[name] < 0) & look(cells, rng), number, first[name])
            number += 1
    return first


def watchers(lives: Lives, peers: bool = True) -> dict[str, Any]:
    """Every method that needs no columns, by name."""
    ours = {name: Watched(lives, delay).look for name, delay in OURS.items()}
    return ours | {name: peer(lives).look for name, peer in PEERS.items() if peers or peer is Cbpe}


def harmless(found: Pools, models: int, column_lives: int, rng: np.random.Generator) -> Json:
    """Share of models ever alarmed, by method and rows a look."""
    rows: Json = {}
    for batch in BATCHES:
        lives = Lives.start(found.held_out, models, rng)
        parts = [(lives.table(found.before), LOOKS // 2), (lives.table(found.harmless), LOOKS // 2)]
        for name, first in drive(lives, watchers(lives, batch <= BATCH), parts, batch, rng).items():
            rows.setdefault(name, {})[str(batch)] = float((first >= 0).mean())
        columns = [(found.before, COLUMN_LOOKS // 2), (found.harmless, COLUMN_LOOKS // 2)]
        for name, method in COLUMN_METHODS.items():
            alarmed = [first_alarm(method, found.held_out, columns, batch, rng) for _ in range(column_lives)]
            rows.setdefault(name, {})[str(batch)] = float(np.mean([one is not None for one in alarmed]))
    return rows


def harmed(found: Pools, models: int, column_lives: int, rng: np.random.Generator) -> Json:
    """How many are found by each method, and after how many rows."""
    lives = Lives.start(found.held_out, models, rng)
    parts = [(lives.table(found.before), CALM_LOOKS), (lives.table(found.harm), MOST_ROWS // BATCH)]
    rows = {}
    for name, first in drive(lives, watchers(lives), parts, BATCH, rng).items():
        rows[name] = _found([None if one < 0 else int(one) for one in first])
    columns = [(found.before, CALM_LOOKS), (found.harm, MOST_ROWS // BATCH)]
    for name, method in COLUMN_METHODS.items():
        rows[name] = _found([first_alarm(method, found.held_out, columns, BATCH, rng) for _ in range(column_lives)])
    return rows


def _found(first: list[int | None]) -> Json:
    after = [(one - CALM_LOOKS + 1) * BATCH for one in first if one is not None and one >= CALM_LOOKS]
    early = sum(one is not None and one < CALM_LOOKS for one in first) / len(first)
    median = float(np.median(after)) if after else None
    return {"found": len(after) / len(first), "alarmed_before": early, "rows_to_detection": median}


def flagged(found: Pools, rng: np.random.Generator) -> float:
    """Share of unchanged columns that Evidently's defaults call drifted, at batches of 50 rows."""
    draws = [rng.integers(0, len(found.before.x), 50) for _ in range(20)]
    return float(np.mean([evidently_columns(found.held_out.x[:2_000], found.before.x[draw]).mean() for draw in draws]))


def one(stream: Stream, models: int, column_lives: int, rng: np.random.Generator) -> Json:
    """All of one stream."""
    found = pools(stream, rng)
    loss = {part: round(float(getattr(found, part).loss.mean()), 4) for part in ("before", "harmless", "harm")}
    print(f"\n{stream.name}: loss {loss['before']:.3f}, {loss['harmless']:.3f} after a harmless change, {loss['harm']:.3f} in harm")
    print(f"{'':34} {'ever alarmed without harm, rows a look:':>42} {'found':>8} {'before':>8} {'rows':>8}")
    calm, bad = harmless(found, models, column_lives, rng), harmed(found, models, column_lives, rng)
    for name, row in bad.items():
        shares = "".join(f"{batch:>8} {100 * calm[name][str(batch)]:4.1f}%" for batch in BATCHES if str(batch) in calm[name])
        print(f"{name:34} {shares:>42} {100 * row['found']:7.1f}% {100 * row['alarmed_before']:7.1f}% {row['rows_to_detection'] or '-':>8}")
        row["false_alarms"] = calm[name]
    share = flagged(found, rng)
    print(f"Evidently's defaults call {100 * share:.0f} % of unchanged columns drifted at 50 rows a look.", flush=True)
    return {"loss": loss, "seen_by_confidence": stream.seen, "evidently_columns_flagged_at_50": share, "methods": bad}


def summary(streams: Json) -> Json:
    """The aims: the worst share of false alarms; of harms beyond the margin, the least share found, and rows beside labels at once."""
    ours = {name: [row["methods"][name] for row in streams.values()] for name in OURS}
    at_once, late, never = ours
    seen = [row["methods"] for row in streams.values() if row["seen_by_confidence"]]
    ratios = [(row[never]["rows_to_detection"] or float("inf")) / (row[at_once]["rows_to_detection"] or 1) for row in seen]
    late_ratios = [
        late_row["rows_to_detection"] / row["rows_to_detection"]
        for row, late_row in zip(ours[at_once], ours[late], strict=True)
        if row["rows_to_detection"] and late_row["rows_to_detection"]
    ]
    return {
        "false_alarms": max(share for rows in ours.values() for row in rows for share in row["false_alarms"].values()),
        "found": min(row["found"] for row in ours[at_once]),
        "found_late": min(row["found"] for row in ours[late]),
        "rows_late_ratio": max(late_ratios, default=None),
        "streams_late_within_1.5": sum(ratio <= 1.5 for ratio in late_ratios),
        "found_without_labels_where_seen": min(row[never]["found"] for row in seen),
        "rows_without_labels_where_seen": max(ratios) if max(ratios) < float("inf") else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description=__doc__)
    parser.add_argument("--models", type=int, default=100, help="lives a row")
    parser.add_argument("--column-lives", type=int, default=4, help="lives a row, of the methods that look at columns")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random streams")
    args = parser.parse_args()
    if args.models < 1 or args.column_lives < 1:
        parser.error("--models and --column-lives must be at least 1")
    started = time.monotonic()
    print(f"Alpha {ALPHA} over a life, margin {MARGIN}; a model is trained on {TRAIN} rows of its stream, calibrated on {HELD_OUT} others.")
    every = (*STREAMS, *census.streams(census.read()))
    streams = {
        stream.name: one(stream, args.models, args.column_lives, np.random.default_rng([args.seed, n])) for n, stream in enumerate(every)
    }
    elapsed = time.monotonic() - started
    found = summary(streams)
    print(f"\n{found}\n{elapsed:.0f} s")
    print(
        json.dumps(
            found
            | {
                "streams": streams,
                "models": args.models,
                "column_lives": args.column_lives,
                "seed": args.seed,
                "seconds": round(elapsed, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
