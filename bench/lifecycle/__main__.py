"""``make bench-lifecycle``: one run of `digits` beside a champion, under traffic; its wall time, the work in it, and the difference.

Work is the time inside the steps' and tasks' own code, and the canary's trial; everything else is overhead: queueing, starting
processes, Airflow's own calls.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

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
        try:
            run_id = run(api, {}, progress)
        finally:
            traffic.stop()
        rows, wall_s = table(api, run_id)
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1
    print(f"\n{'task':<16}{'queued':>9}{'running':>9}{'work':>9}{'overhead':>10}   (seconds)")
    for task, queued_s, running_s, work_s in rows:
        print(f"{task:<16}{queued_s:>9.1f}{running_s:>9.1f}{work_s:>9.1f}{queued_s + running_s - work_s:>10.1f}")
    work = sum(row[3] for row in rows)
    print(f"{'the whole run':<16}{'':>9}{wall_s:>9.1f}{work:>9.1f}{wall_s - work:>10.1f}")
    print(json.dumps({"wall_s": round(wall_s, 1), "work_s": round(work, 1), "overhead_s": round(wall_s - work, 1)}))
    return 0


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
