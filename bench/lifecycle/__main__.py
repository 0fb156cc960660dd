"""``make bench-lifecycle``: one run of `digits` beside a champion, under traffic; its wall time, the work in it, and the difference.

Work is the time inside the steps' and tasks' own code, and the canary's trial; everything else is overhead, by its causes: what passes
between two tasks, what a task waits in the executor's queue, what it takes beyond its work. ``PEERS=1`` installs Metaflow and ZenML in
environments of their own and runs a chain of as many steps beside it. Processor time is what the kernel has counted for the platform's
programs during the run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from bench.idle.processes import shares, used
from bench.lifecycle import peers
from include.demo.digits import CHAPTERS, MODEL, SCRIPT, images
from include.demo.progress import Progress, follow
from include.errors import ComponentError, UpdraftError
from include.platform.up import up
from include.registry.mlflow import CHAMPION, Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN
from include.runtime.settings import Settings
from include.serving.traffic import Traffic

DAG = SCRIPT.dag
RATE_PER_S = 50
RUN_S = 400
STEP_S = 3.0
"""A task with as much work runs a step in a process of its own."""
Row = tuple[str, float, float, float]
"""Task, and in seconds: queued, running, work."""


def main() -> int:
    progress = Progress()
    settings = Settings.load()
    try:
        credentials = up(settings, progress.say)
        api = AirflowApi(settings.airflow_url, ADMIN, credentials.airflow_passwords[ADMIN])
        if CHAMPION not in Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password).aliases(MODEL):
            progress.say("There is no champion yet: a first run makes one")
            run(api, dict(CHAPTERS[0].conf), progress)
        traffic = Traffic(settings.gateway_url, credentials.api_keys["demo"], MODEL, images(), RATE_PER_S)
        traffic.start()
        before = used(settings.home)
        begun = time.monotonic()
        try:
            run_id = run(api, {}, progress)
        finally:
            traffic.stop()
        parts = shares(before, used(settings.home), time.monotonic() - begun)
        seconds_of = time.monotonic() - begun
        rows, wall_s = table(api, run_id)
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1
    print(f"\n{'task':<16}{'queued':>9}{'running':>9}{'work':>9}{'overhead':>10}   (seconds)")
    for task, queued_s, running_s, work_s in rows:
        print(f"{task:<16}{queued_s:>9.1f}{running_s:>9.1f}{work_s:>9.1f}{queued_s + running_s - work_s:>10.1f}")
    work = sum(row[3] for row in rows)
    print(f"{'the whole run':<16}{'':>9}{wall_s:>9.1f}{work:>9.1f}{wall_s - work:>10.1f}")
    found = causes(rows, wall_s)
    print("\nOverhead by its cause (seconds)")
    for cause, cause_s in found.items():
        print(f"  {cause:<44}{cause_s:>8.1f}")
    cpu = {part: round(share.cpu_pct / 100 * seconds_of, 1) for part, share in parts.items() if share.cpu_pct / 100 * seconds_of >= 0.1}
    print(f"\nProcessor time of the platform's programs, steps and servers among them (seconds): {cpu}")
    chains = peers.measure(len(rows)) if os.environ.get("PEERS") == "1" else []
    for chain in chains:
        print(f"A chain of {len(rows)} steps that do nothing, in {chain.name}: {chain.wall_s} s, {chain.cpu_s} s of a processor")
    figures = {"wall_s": round(wall_s, 1), "work_s": round(work, 1), "overhead_s": round(wall_s - work, 1), "tasks": len(rows)}
    figures |= {"causes": {cause: round(cause_s, 2) for cause, cause_s in found.items()}, "cpu_s": cpu}
    print(json.dumps(figures | {"peers": [asdict(chain) for chain in chains], "load": round(os.getloadavg()[0], 1)}))
    return 0


def causes(rows: Sequence[Row], wall_s: float) -> dict[str, float]:
    """What the overhead of a run consists of, in seconds. Pure."""
    beyond = {task: running_s - work_s for task, _, running_s, work_s in rows}
    steps = {task for task, _, _, work_s in rows if work_s >= STEP_S and task != "canary"}
    queued = sum(row[1] for row in rows)
    return {
        "between two tasks (scheduler)": wall_s - queued - sum(row[2] for row in rows),
        "in the executor's queue": queued,
        "the canary, beyond its trial": beyond.get("canary", 0.0),
        "tasks that run a step, beyond its work": sum(beyond[task] for task in steps),
        "small tasks, beyond their work": sum(over for task, over in beyond.items() if task not in steps and task != "canary"),
    }


def run(api: AirflowApi, conf: dict[str, Any], progress: Progress) -> str:
    run_id = api.trigger(DAG, conf)
    state = follow(api, DAG, run_id, progress, timeout_s=RUN_S)
    if state != "success":
        raise ComponentError(f"run {run_id} ended as {state}.", where=DAG)
    return run_id


def table(api: AirflowApi, run_id: str) -> tuple[list[Row], float]:
    """A row for each task that ran, in order, and the run's wall time (seconds)."""
    base = f"/api/v2/dags/{DAG}/dagRuns/{run_id}"
    tasks = [task for task in api.get(f"{base}/taskInstances", params={"limit": 200})["task_instances"] if task["state"] == "success"]
    rows = []
    for task in sorted(tasks, key=lambda task: task["start_date"]):
        kept = api.get(f"{base}/taskInstances/{task['task_id']}/xcomEntries/work_s", missing_ok=True)
        work_s = float(kept["value"]) if kept else 0.0
        if task["task_id"] == "canary":
            looks = api.get("/lifecycle/v1/looks", params={"run_key": f"{DAG}/{run_id}"})
            work_s += looks[-1]["body"]["passed_s"] if looks else 0.0
        rows.append((task["task_id"], seconds(task["queued_when"] or task["scheduled_when"], task["start_date"]), task["duration"], work_s))
    whole = api.get(base)
    return rows, seconds(whole["queued_at"], whole["end_date"])


def seconds(begin: str, end: str) -> float:
    return max((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds(), 0.0)


if __name__ == "__main__":
    sys.exit(main())
