"""``make bench-scale``: many models and many lifecycle runs at once, on a scaled platform and on an embedded one.

    make bench-scale [MODELS=200] [RUNS=50] [EMBEDDED_RUNS=10] [PLATFORMS="scaled embedded"] [MINUTES=90]

Each platform is of its own: a new folder, copies of the digits model under as many names. RUNS of them are triggered at once, each run the
first of its model: it trains, passes its gate and ends with a server of its own (100 MB). Scheduler lag is what a task waits from the
moment it is queued, when there is room for it, until it runs, p50 and p99 over all tasks; beside it what a run waits for its first task.
A run takes about 45 s of processor time, so fifty take two cores some 25 minutes. What has not ended after MINUTES is counted as failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.lifecycle.__main__ import seconds
from bench.parse.__main__ import make_specs
from include.demo.digits import CHAPTERS
from include.errors import ComponentError, UpdraftError
from include.platform.scale import Scale
from include.runtime.airflow_api import TERMINAL, AirflowApi
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings

UP_S, PARSED_S = 900, 900
"""A platform is up, and its DAGs are there, within these, on a busy machine (seconds)."""
PAGE = 100


@dataclass(frozen=True)
class Measured:
    """Times in seconds. ``failed`` counts runs that did not end as success, or not in time; ``retries`` tries beyond a task's first."""

    platform: str
    models: int
    runs: int
    failed: int
    retries: int
    parsed_s: float
    scheduler_lag_p50_s: float
    scheduler_lag_p99_s: float
    first_task_p50_s: float
    first_task_p99_s: float
    run_p50_s: float
    wall_s: float
    runs_per_minute: float
    tasks_per_minute: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--models", type=int, default=int(os.environ.get("MODELS") or 200))
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS") or 50))
    parser.add_argument("--embedded-runs", type=int, default=int(os.environ.get("EMBEDDED_RUNS") or 10))
    parser.add_argument("--platforms", nargs="+", choices=list(Scale), default=(os.environ.get("PLATFORMS") or "scaled embedded").split())
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES") or 90), help="for the runs of one platform")
    arguments = parser.parse_args()
    wanted = {Scale.SCALED: arguments.runs, Scale.EMBEDDED: min(arguments.embedded_runs, arguments.runs)}
    if not 1 <= max(wanted.values()) <= arguments.models:
        parser.error("RUNS must be at least 1, and MODELS as many as RUNS: each run is of a model of its own")
    rows = []
    try:
        for platform in arguments.platforms:
            rows.append(measure(Scale(platform), arguments.models, wanted[Scale(platform)], 60 * arguments.minutes))
            print(table(rows[-1:]), flush=True)
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1
    if len(rows) > 1:
        print(table(rows))
    print(json.dumps({**asdict(rows[0]), "load": round(os.getloadavg()[1], 1), "all": [asdict(row) for row in rows]}))
    return 1 if any(row.failed for row in rows) else 0


def measure(platform: Scale, models: int, runs: int, most_s: float) -> Measured:
    """A platform from nothing to nothing; its runs may take ``most_s`` seconds."""
    root = Path(tempfile.mkdtemp(prefix="ud-"))
    root.chmod(0o711)  # PostgreSQL, which does not run as root, passes through
    settings = replace(Settings.load(), home=root / "h")
    environment = os.environ | {
        "UPDRAFT_HOME": str(settings.home),
        "UPDRAFT_MODELS": str(make_specs(root / "models", models)),
        "UPDRAFT_SCALE": str(platform),
    }
    try:
        say(platform, f"starting, with {models} models")
        begun = time.monotonic()
        command(settings, environment, "up")
        credentials = Credentials.load(settings.home)
        api = AirflowApi(settings.airflow_url, ADMIN, credentials.airflow_passwords[ADMIN], timeout_s=120)
        parsed_s = all_parsed(api, models, begun)
        say(platform, f"{models} DAGs are there; triggering {runs} runs")
        dags = [f"digits_{number:03}_lifecycle" for number in range(runs)]
        for dag in dags:
            api.trigger(dag, dict(CHAPTERS[0].conf))
        triggered = all_ended(api, platform, runs, most_s)
        return figures(platform, models, parsed_s, triggered, all_pages(api, "dagRuns/~/taskInstances", "task_instances"))
    finally:
        command(settings, environment, "down")
        if not os.environ.get("KEEP"):
            shutil.rmtree(root, ignore_errors=True)


def command(settings: Settings, environment: dict[str, str], word: str) -> None:
    """``make up`` and ``make down``."""
    done = subprocess.run(
        [sys.executable, "-m", "include.platform", word],
        env=environment,
        cwd=settings.repo,
        capture_output=True,
        text=True,
        timeout=UP_S,
        check=False,
    )
    if done.returncode:
        raise ComponentError(f"`{word}` failed: {done.stderr.strip()[-2000:]}", where=str(settings.home))


def all_parsed(api: AirflowApi, models: int, begun: float) -> float:
    """Wait until every model's lifecycle is there; seconds since ``begun``, the platform's own start among them."""
    while True:
        known = api.get("/api/v2/dags", params={"dag_id_pattern": "%_lifecycle", "limit": 1})["total_entries"]
        passed_s = time.monotonic() - begun
        if known >= models:
            return passed_s
        if passed_s > PARSED_S:
            raise ComponentError(f"only {known} of {models} DAGs are there after {passed_s:.0f} s.", where="dag-processor")
        time.sleep(1)


def all_ended(api: AirflowApi, platform: Scale, runs: int, most_s: float) -> list[dict[str, Any]]:
    """Wait for the runs' ends, ``most_s`` seconds; all runs."""
    deadline = time.monotonic() + most_s
    told = -1
    while True:
        found = all_pages(api, "dagRuns", "dag_runs")
        ended = [run for run in found if run["state"] in TERMINAL]
        if len(ended) != told:
            told = len(ended)
            say(platform, f"{told} of {runs} runs have ended")
        if len(ended) >= runs or time.monotonic() > deadline:
            return found
        time.sleep(5)  # asking costs the API server what its tasks need


def all_pages(api: AirflowApi, path: str, key: str) -> list[dict[str, Any]]:
    """Every row of a list below all DAGs."""
    found: list[dict[str, Any]] = []
    while True:
        answer = api.get(f"/api/v2/dags/~/{path}", params={"limit": PAGE, "offset": len(found), "order_by": "id"})
        found += answer[key]
        if not answer[key] or len(found) >= answer["total_entries"]:
            return found


def figures(platform: Scale, models: int, parsed_s: float, runs: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> Measured:
    """What the API's rows of runs and task instances say."""
    ran = [task for task in tasks if task["start_date"] and task["queued_when"]]
    lags = [seconds(task["queued_when"], task["start_date"]) for task in ran]
    firsts = {run["dag_run_id"] + run["dag_id"]: run["queued_at"] for run in runs}
    waits = [
        seconds(queued_at, min(task["start_date"] for task in ran if task["dag_run_id"] + task["dag_id"] == key))
        for key, queued_at in firsts.items()
        if any(task["dag_run_id"] + task["dag_id"] == key for task in ran)
    ]
    ended = [run for run in runs if run["end_date"]]
    last = max((run["end_date"] for run in ended), default=datetime.now(UTC).isoformat())
    wall_s = seconds(min(run["queued_at"] for run in runs), last)
    return Measured(
        platform=str(platform),
        models=models,
        runs=len(runs),
        failed=sum(run["state"] != "success" for run in runs),
        retries=sum(max(task["try_number"] - 1, 0) for task in ran),
        parsed_s=round(parsed_s, 1),
        scheduler_lag_p50_s=quantile(lags, 0.5),
        scheduler_lag_p99_s=quantile(lags, 0.99),
        first_task_p50_s=quantile(waits, 0.5),
        first_task_p99_s=quantile(waits, 0.99),
        run_p50_s=quantile([seconds(run["queued_at"], run["end_date"]) for run in ended], 0.5),
        wall_s=round(wall_s, 1),
        runs_per_minute=round(60 * len(ended) / wall_s, 2),
        tasks_per_minute=round(60 * len(ran) / wall_s, 1),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of them does not exceed (nearest rank); milliseconds are kept."""
    if not values:
        return 0.0
    return round(sorted(values)[max(-(-len(values) * round(share * 1000) // 1000) - 1, 0)], 3)


def table(rows: Sequence[Measured]) -> str:
    """For people: a line a figure, a column a platform."""
    names = [name for name in asdict(rows[0]) if name != "platform"]
    lines = [f"\n{'':<24}" + "".join(f"{row.platform:>12}" for row in rows)]
    lines += [f"{name:<24}" + "".join(f"{getattr(row, name):>12}" for row in rows) for name in names]
    return "\n".join(lines)


def say(platform: Scale, text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {platform}: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
