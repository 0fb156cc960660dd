"""What a person watching a run sees: a line when a task ends, a line for each look of the canary's judge."""

from __future__ import annotations

import time

from include.runtime.airflow_api import AirflowApi

QUIET = ("hold",)


class Progress:
    """Prints lines stamped with the seconds since the story began."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started


def follow(api: AirflowApi, dag_id: str, run_id: str, progress: Progress, *, timeout_s: float) -> str:
    """Follow a run to its end, telling what happens; its final state."""
    seen: dict[str, str] = {}
    looks = 0
    final = ""
    begun: dict[str, float] = {}
    for states in api.follow(dag_id, run_id, timeout_s=timeout_s):
        for task, state in states.items():
            if not task or seen.get(task) == state:
                continue
            if state == "running":
                begun.setdefault(task, time.monotonic())
            elif state in ("success", "failed", "up_for_retry") and task not in QUIET:
                took = f" ({time.monotonic() - begun[task]:.1f} s)" if task in begun else ""  # it was over between two looks
                progress.say(f"  {task:<14} {'done' if state == 'success' else state}{took}")
        seen, final = states, states[""]
        if states.get("canary") in ("deferred", "running"):
            looks = _looks(api, f"{dag_id}/{run_id}", looks, progress)
    return final


def _looks(api: AirflowApi, run_key: str, shown: int, progress: Progress) -> int:
    rows = api.get("/lifecycle/v1/looks", params={"run_key": run_key})
    for row in rows[shown:]:
        look = row["body"]["look"]
        arms = {name: look[name] for name in ("stable", "canary")}
        counts = ", ".join(f"{name} {arm['requests']} requests {arm['errors']} failed" for name, arm in arms.items())
        share = "copies of traffic" if row["body"]["mirrored"] else f"{look['weight']:>2} % of traffic"
        progress.say(f"  canary         {share}: {counts} → {row['body']['verdict']}")
    return len(rows)
