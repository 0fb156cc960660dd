"""The story of `make demo-search`: a search for hyperparameters whose trials are killed on the way, and the same search undisturbed.

Both come to the same trials and the same best; the report says what the winner is worth once the luck of having been chosen is taken out.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.demo.drift import wait
from include.demo.progress import Progress
from include.errors import ComponentError
from include.kinds.load import load
from include.registry.mlflow import Mlflow
from include.report.search import Told
from include.runtime.airflow_api import TERMINAL, AirflowApi
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from include.search.plan import SearchState, Trial
from include.targets.target import step_of

MODEL = "searched_cancer"
DAG = f"{MODEL}_lifecycle"
TRIALS, PARALLEL = 6, 2
KILLED = (1, 3)
"""The trials whose processes are killed."""
RUN_S, POLL_S = 1200.0, 1.0
SPEC: dict[str, Any] = {
    "name": MODEL,
    "description": "Benign or malignant, by boosted trees whose hyperparameters are searched.",
    "task": "classification",
    "data": {"source": "data:load", "target": "target"},
    "train": {
        "params": {"learning_rate": 1.0, "max_leaf_nodes": 4, "l2": 1.0},
        "search": {
            "params": {
                "learning_rate": {"low": 0.005, "high": 1.0, "log": True},
                "max_leaf_nodes": {"low": 2, "high": 32, "log": True},
                "l2": {"low": 0.001, "high": 100.0, "log": True},
            },
            "metric": "log_loss",
            "trials": TRIALS,
            "parallel": PARALLEL,
        },
    },
    "gate": {"min_score": 0.5},
    "canary": {"steps": [50], "step_s": 2, "look_s": 1, "min_requests": 1, "on_inconclusive": "rollback"},
}
DATA = """\
from sklearn.datasets import load_breast_cancer


def load():
    return load_breast_cancer(as_frame=True).frame
"""
TRAIN = """\
from sklearn.ensemble import HistGradientBoostingClassifier


def train(X, y, params):
    model = HistGradientBoostingClassifier(
        learning_rate=params["learning_rate"], max_leaf_nodes=params["max_leaf_nodes"], l2_regularization=params["l2"], max_iter=60
    )
    return model.fit(X, y)
"""
EXPECTATIONS = "- expect_table_row_count_to_be_between: {min_value: 300}\n"


def write_model(settings: Settings) -> Path:
    """Write the folder of models that the story needs, the shipped ones and its own, and return it."""
    folder = settings.home / "demo-models" / "search"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(settings.models, folder, ignore=shutil.ignore_patterns("__pycache__"))
    own = folder / MODEL
    own.mkdir()
    files = {"model.yaml": json.dumps(SPEC, indent=1), "data.py": DATA, "train.py": TRAIN, "expectations.yaml": EXPECTATIONS}
    for name, content in files.items():
        (own / name).write_text(content)
    load(own / "model.yaml")
    return folder


@dataclass
class Search:
    """Tells the story on a platform that is up."""

    settings: Settings
    credentials: Credentials
    api: AirflowApi
    mlflow: Mlflow
    progress: Progress

    def tell(self) -> dict[str, Any]:
        """The whole story; the result for demo-search.json. Raises ComponentError when it did not go as it should."""
        wait(lambda: self.api.get(f"/api/v2/dags/{DAG}", missing_ok=True), 120, "Airflow to find the model's DAGs")
        self.api.call("PATCH", f"/api/v2/dags/{DAG}", json={"is_paused": False})
        self.progress.say(f"Chapter 1. A search of {TRIALS} trials, {PARALLEL} at once; the processes of trials {KILLED} are killed")
        disturbed, kills = self._searched(KILLED)
        self.progress.say("Chapter 2. The same search undisturbed")
        calm, _ = self._searched(())
        told = [Told(found) for found in (disturbed, calm)]
        for sentence in told[0].sentences():
            self.progress.say(f"  {sentence}")
        return {
            "kills": kills,
            "trials": [trial.to_json() for trial in told[0].trials],
            "winner": told[0].winner.number,
            "params": dict(told[0].winner.params),
            "gain": told[0].gain,
            "same_trials": [tried(trial) for trial in told[0].trials] == [tried(trial) for trial in told[1].trials],
            "same_best": tried(told[0].winner) == tried(told[1].winner),
            "seconds": round(self.progress.seconds, 1),
            "url": f"{self.settings.airflow_url}/dags/{DAG}",
        }

    def summary(self, result: Mapping[str, Any]) -> str:
        """The story in a few lines."""
        same = "the same trials and the same best" if not self.failure(result) else "something else"
        return (
            f"\nIn {result['seconds']} s: {result['kills']} processes of trials were killed, and the search came to {same} as undisturbed: "
            f"trial {result['winner']}, {result['params']}.\nThe report behind the last task of {result['url']} shows the search.\n"
        )

    def failure(self, result: Mapping[str, Any]) -> str:
        """Why the result is not what it should be; empty when it is."""
        if not result["kills"]:
            return "no trial was killed."
        return "" if result["same_trials"] and result["same_best"] else "killed trials have changed the search."

    def _searched(self, killed: tuple[int, ...]) -> tuple[dict[str, Any], int]:
        """One run to its end; what its search has left, and how many processes were killed."""
        run_id, left, kills = self.api.trigger(DAG), set(killed), 0
        key, until, ended = f"{DAG}/{run_id}", time.monotonic() + RUN_S, set[int]()
        while True:
            search = self.api.get("/lifecycle/v1/searches", params={"run_key": key}, missing_ok=True)
            for trial in map(Trial.from_json, search["trials"] if search else ()):
                if trial.state is SearchState.RUNNING and trial.number in left and self._kill(key, trial.number):
                    left.discard(trial.number)
                    kills += 1
                    self.progress.say(f"  trial {trial.number} killed")
                if trial.state is not SearchState.RUNNING and trial.number not in ended:
                    ended.add(trial.number)
                    self.progress.say(f"  trial {trial.number} {trial.state.lower()}: {trial.value} with {dict(trial.params)}")
            run = self.api.get(f"/api/v2/dags/{DAG}/dagRuns/{run_id}")
            if run["state"] in TERMINAL:
                break
            if time.monotonic() > until:
                raise ComponentError(f"run {run_id} of {DAG} has not ended in {RUN_S:g} s.", where="demo-search", remedy="See `make logs`.")
            time.sleep(POLL_S)
        if len(ended) < TRIALS:
            raise ComponentError(f"the run {run_id} ended as {run['state']}.", where="demo-search", remedy=f"See {DAG} in Airflow.")
        found = json.loads(self.mlflow.read(self.mlflow.ensure_run(f"updraft/{MODEL}", key, run_id), "search.json"))
        return dict(found), kills

    def _kill(self, key: str, number: int) -> bool:
        """Kill a trial's process once it has printed something, so that it is at work; whether it was there."""
        step = step_of(self.settings, key, f"table.trial.{number}")
        if "Fold 1" not in (self._log(step.folder) or ""):
            return False
        Supervisor(self.settings).signal(step.name, "KILL")
        return True

    def _log(self, folder: Path) -> str:
        path = folder / "log.txt"
        return path.read_text(errors="replace") if path.is_file() else ""


def tried(trial: Trial) -> tuple[Any, ...]:
    """What a trial was and came to, whatever it took."""
    return trial.number, dict(trial.params), trial.state, trial.value, dict(trial.steps)
