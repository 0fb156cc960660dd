"""``python -m bench.leases [--seconds 8] [--clients 1 16 64] [--databases sqlite postgresql]``

Acquire and release one GPU, over HTTP through Airflow's own API server with its authentication, one worker. A readable table, and as the
very last line one JSON object: ``p99_ms`` (database → clients → ms of a call) and ``pairs_per_s``.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.leases.postgres import postgres
from bench.leases.server import GPUS, NODES, server

DATABASES = ("sqlite", "postgresql")
TARGET_MS, TARGET_CLIENTS = 50.0, 16
Row = dict[str, float]


def main() -> None:
    options = _options()
    found: dict[str, dict[int, Row]] = {}
    print(
        f"One GPU of {NODES * GPUS} acquired and released, closed loop, {options.seconds:g} s each; "
        f"{os.cpu_count()} cores (client and database included).\n"
    )
    names = ("acquire p50", "p99", "release p50", "p99", "call p50", "p99 ms", "pairs/s")
    print(f"{'database':<12}{'clients':>8}" + "".join(f"{name:>12}" for name in names))
    for database in options.databases:
        with (
            tempfile.TemporaryDirectory(prefix="updraft-leases-") as home,
            _url(database) as url,
            server(Path(home), url, _port()) as served,
        ):
            for clients in options.clients:
                job = {"port": served.port, "token": served.operator, "clients": clients, "warm_s": 2.0, "seconds": options.seconds}
                row = found.setdefault(database, {})[clients] = _measure(job)
                figures = [row[f"{call}{name}"] for call in ("acquire_", "release_", "") for name in ("p50", "p99")]
                print(f"{database:<12}{clients:>8}" + "".join(f"{figure:>12.1f}" for figure in (*figures, row["pairs_per_s"])), flush=True)
    reached = found.get("postgresql", {}).get(TARGET_CLIENTS)
    if reached:
        word = "reached" if reached["p99"] < TARGET_MS else "missed"
        print(f"\nTarget, a call's p99 under {TARGET_MS:g} ms at {TARGET_CLIENTS} clients on PostgreSQL: {word} ({reached['p99']:.1f} ms).")
    print(
        json.dumps({name: _figures(found, key) for name, key in {"p99_ms": "p99", "p50_ms": "p50", "pairs_per_s": "pairs_per_s"}.items()})
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.leases", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    chosen = parser.parse_args()
    if not 0 < min(chosen.clients) <= max(chosen.clients) <= NODES * GPUS or chosen.seconds <= 0:
        parser.error(f"--clients: 1 to {NODES * GPUS} (as many GPUs as there are); --seconds: more than 0")
    return chosen


@contextmanager
def _url(database: str) -> Iterator[str]:
    if database == "sqlite":
        yield ""
    else:
        with postgres() as url:
            yield url


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _measure(job: dict[str, Any]) -> Row:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(job))
        file.flush()
        command = [sys.executable, "-m", "bench.leases.load", file.name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    result = json.loads(done.stdout)
    if result["failed"]:
        raise SystemExit(f"{result['failed']} clients failed, the first one: {result['first_failure']}")
    calls = result["calls"]
    both = calls["acquire"] + calls["release"]
    row = {f"{kind}_{name}": at for kind in calls for name, at in _percentiles(calls[kind]).items()}
    return row | _percentiles(both) | {"pairs_per_s": len(calls["release"]) / job["seconds"]}


def _percentiles(found: list[float]) -> Row:
    ordered = sorted(found)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[int(len(ordered) * 0.99)]}


def _figures(found: dict[str, dict[int, Row]], key: str) -> dict[str, dict[str, float]]:
    return {database: {str(clients): round(row[key], 2) for clients, row in rows.items()} for database, rows in found.items()}


if __name__ == "__main__":
    main()
