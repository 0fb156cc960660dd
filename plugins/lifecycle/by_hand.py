"""Trials that a person ended before the judge did: who, why, and the verdict that is kept of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from include.canary.kept import kept as kept_looks
from include.canary.progress import Progress
from include.kinds.registry import kind_of
from include.registry.mlflow import CHALLENGER, RUN_KEY, Mlflow
from include.runtime.airflow_api import AirflowApi
from include.spec.schema import Spec
from include.verdict import Decision, Verdict

KIND = "canary"
ACTS = ("patch_task_instance", "bulk_task_instances", "post_clear_task_instances", "patch_dag_run", "bulk_dag_runs", "clear_dag_run")
"""Events of Airflow's audit log by which a person ends a task or a run."""
NOBODY = "an unknown person"


def kept(api: AirflowApi, run_key: str) -> Verdict | None:
    """Return the kept verdict of a trial that was ended by hand, None for any other."""
    rows = api.get("/lifecycle/v1/verdicts", params={"run_key": run_key})
    found = next((Verdict.from_json(row["body"]) for row in rows if row["kind"] == KIND), None)
    return found if found and found.decision is Decision.ENDED_BY_HAND else None


def under_way(api: AirflowApi, mlflow: Mlflow, model: str) -> tuple[str, int] | None:
    """Return the run's key and the version of the model's trial that has looks and no verdict yet, None when there is none."""
    version = mlflow.aliases(model).get(CHALLENGER)
    if version is None:
        return None
    run_key = mlflow.version(model, version)["tags"].get(RUN_KEY, "")
    rows = api.get("/lifecycle/v1/verdicts", params={"run_key": run_key}) if run_key else []
    if not rows or any(row["kind"] == KIND for row in rows) or not looks(api, run_key):
        return None
    return run_key, version


def verdict(api: AirflowApi, run_key: str, spec: Spec, who: str, why: str) -> Verdict:
    """Return the verdict on the run's trial, ended by ``who`` because of ``why``, with the evidence of its kept looks."""
    begun = Progress.start(kind_of(spec).trial_plan(spec.canary), spec.canary.mirror_s)
    return begun.take(looks(api, run_key)).ended_by_hand(who, why)


def looks(api: AirflowApi, run_key: str) -> list[dict[str, Any]]:
    """Return the bodies of the looks that are kept of a run's trial, in order."""
    return [row["body"] for row in kept_looks(api, run_key)]


def act(api: AirflowApi, run_key: str, task_id: str) -> tuple[str, str] | None:
    """Return who ended the task of a run by hand last, and why, out of Airflow's audit log; None when nobody did."""
    dag_id, _, run_id = run_key.partition("/")
    query = {"dag_id": dag_id, "run_id": run_id, "order_by": "-event_log_id", "limit": 100}
    return latest_act(api.get("/api/v2/eventLogs", params=query)["event_logs"], task_id)


def latest_act(events: Iterable[Mapping[str, Any]], task_id: str) -> tuple[str, str] | None:
    """Return who and why of the first of the audit log's ``events`` (newest first) that ends the task or its whole run."""
    for event in events:
        if event["event"] not in ACTS or event.get("task_id") not in (None, task_id):
            continue
        extra = _extra(event.get("extra"))
        cleared = "clear" in event["event"]
        what = f"the task {task_id}" if event.get("task_id") or "task" in event["event"] else "the run"
        words = f"{what} was {'cleared' if cleared else 'set to ' + str(extra.get('new_state') or extra.get('state') or 'another state')}."
        note = str(extra.get("note") or "").strip()
        return event.get("owner") or NOBODY, f"{words} {note}".strip()
    return None


def _extra(text: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
