"""What the watch wants of MLflow and Airflow: who is champion, what its trial has shown, verdicts to keep, returns to begin.

It runs beside the watch, in a thread of its own: a server that is slow or away keeps the watch from nothing but these.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from include.canary.kept import kept as kept_looks
from include.canary.observations import Arm
from include.errors import UpdraftError
from include.registry.mlflow import CHAMPION, PREVIOUS, RUN_KEY, Mlflow
from include.runtime.airflow_api import AirflowApi, Refused
from include.watch.state import Return, State
from include.watch.watcher import Facts

EVERY_S = 0.5
KNOWN_S = 30.0
"""So long what is known of a model is taken for true, unless the watch asks anew."""
SOON_S = 2.0
TRIES = 3
"""Runs of the rollback DAG for one return."""
UNKNOWN_HOLD = "Airflow has not said yet whether the rollback DAG is paused."


class Office:
    """The :class:`include.watch.watcher.Desk` of a platform."""

    def __init__(self, api: AirflowApi, mlflow: Mlflow, say: Callable[[str], None] = print) -> None:
        self._api, self._mlflow, self._say = api, mlflow, say
        self._lock = threading.Lock()
        self._facts: dict[str, Facts] = {}
        self._asked_s: dict[str, float] = {}
        self._stale: set[str] = set()
        self._state, self._kept = State(), set[str]()
        self._problem = ""

    # For the watch

    def facts(self, model: str) -> Facts | None:
        """Return what is known of a model by now."""
        return self._facts.get(model)

    def refresh(self, model: str) -> None:
        """Ask anew soon."""
        with self._lock:
            self._stale.add(model)

    def carry(self, state: State) -> set[str]:
        """Take over what is to be kept and begun; the keys of the verdicts that have been kept."""
        with self._lock:
            self._state = state
            return set(self._kept)

    # The thread

    def run(self) -> None:
        """Work for ever."""
        while True:
            self.round()
            time.sleep(EVERY_S)

    def round(self) -> None:
        """Keep, begin and ask what there is to."""
        with self._lock:
            state = self._state
        try:
            for body in state.unsent:
                if body["run_key"] not in self._kept:
                    self._keep(body)
            for model, watched in state.models.items():
                if watched.returning is not None:
                    self._begin(model, watched.returning)
                self._ask(model, time.monotonic())
        except (UpdraftError, OSError) as error:
            self._tell(str(error))

    def _keep(self, body: dict[str, object]) -> None:
        try:
            self._api.call("PUT", "/lifecycle/v1/verdicts", json=body)
        except Refused as error:  # it will be refused for ever: said, and not tried again
            self._say(f"A verdict was not kept: {error}")
        with self._lock:
            self._kept.add(str(body["run_key"]))

    def _begin(self, model: str, back: Return) -> None:
        """Run the rollback DAG once; again, under another name, only if that run has failed."""
        dag = f"{model}_rollback"
        for number in range(TRIES):
            run_id = back.run_id + (f"__{number + 1}" if number else "")
            found = self._api.get(f"/api/v2/dags/{dag}/dagRuns/{run_id}", missing_ok=True)
            if found is None:
                conf = {"version": back.version, "reason": back.reason}
                self._api.post(f"/api/v2/dags/{dag}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})
                return
            if found["state"] != "failed":
                return
        self._tell(f"{model}: the rollback DAG has failed {TRIES} times. Version {back.version} answers as long as it stands by.")

    def _ask(self, model: str, now_s: float) -> None:
        with self._lock:
            old_s = now_s - self._asked_s.get(model, -KNOWN_S)
            if old_s < (SOON_S if model in self._stale else KNOWN_S):
                return
            self._stale.discard(model)
            self._asked_s[model] = now_s
        try:
            self._learn(model)
        except (UpdraftError, OSError):
            self.refresh(model)
            raise
        self._problem = ""

    def _learn(self, model: str) -> None:
        aliases = self._mlflow.aliases(model)
        if CHAMPION not in aliases:
            self._facts.pop(model, None)
            return
        champion, known = aliases[CHAMPION], self._facts.get(model)
        past = known.past if known and known.champion == champion and known.past is not None else self._past(model, champion)
        self._facts[model] = Facts(champion, aliases.get(PREVIOUS), past, self._held(model))

    def _held(self, model: str) -> str:
        found = self._api.get(f"/api/v2/dags/{model}_rollback", missing_ok=True)
        if found is None:
            return f"there is no DAG {model}_rollback."
        if holds := self._api.get("/lifecycle/v1/holds", params={"model": model, "held": True}):
            return f"{holds[0]['who']} holds it: {holds[0]['why']}"
        return f"the DAG {model}_rollback is paused: a person holds it." if found["is_paused"] else ""

    def _past(self, model: str, version: int) -> Arm:
        """What the version's own trial has shown of it, on real traffic; nothing of one that had none."""
        run_key = self._mlflow.version(model, version)["tags"].get(RUN_KEY, "")
        rows = kept_looks(self._api, run_key) if run_key else []
        past = Arm()
        for row in rows:
            if not row["body"]["mirrored"]:
                past += Arm.from_json(row["body"]["look"]["canary"])
        return Arm(past.requests, past.errors, past.latencies, refused=past.refused)

    def _tell(self, text: str) -> None:
        """Once: a server that is away is no news at every round."""
        if text and text != self._problem:
            self._say(text)
        self._problem = text
