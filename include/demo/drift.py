"""The story of `make demo-drift`: production changes and harm is found, a run retrains on what callers sent, and a champion that goes bad
is taken back.

Its model reads the digits of `make demo`, logged and labelled. From a moment on callers' images are moved by a pixel.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from include.demo.digits import images, reads_a_digit
from include.demo.progress import Progress, follow
from include.errors import ComponentError, InputError
from include.kinds.load import load
from include.registry.mlflow import CHAMPION, Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.traffic import Traffic
from include.spec import document

MODEL = "drifting_digits"
LIFECYCLE, MONITORING, ROLLBACK = (f"{MODEL}_{dag}" for dag in ("lifecycle", "monitoring", "rollback"))
RATE_PER_S = 60
SIDE = 8
CLEAN_S = 20.0
"""So long callers send what the model has learnt."""
SETTLED_S = 61.0
"""A look takes no rows that are younger than a minute."""
LABEL_EVERY_S = 3.0
ODD = -999.0
"""First pixel of a request that no trial had: the fragile version's server fails ever after."""
RUN_S, LOOK_S = 420.0, 180.0
SERVING = f'''\
"""A server that goes bad once it has seen a certain request, unless it is told not to (serve parameter fragile)."""


class Wrapper:
    def __init__(self, params):
        self.fragile, self.spoilt = params["fragile"], False

    def before(self, inputs):
        self.spoilt = self.spoilt or (self.fragile and {ODD} in next(iter(inputs.values())))
        if self.spoilt:
            raise RuntimeError("Game day: this server has gone bad.")
        return inputs

    def after(self, outputs):
        return outputs
'''


def write_model(settings: Settings) -> Path:
    """Write the folder of models that the story needs, the shipped ones and its own, and return it."""
    folder = settings.home / "demo-models" / "drift"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(settings.models, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(folder / "digits", folder / MODEL)
    path = folder / MODEL / "model.yaml"
    spec: dict[str, Any] = document.read(path).value
    spec |= {"name": MODEL, "description": "Reads handwritten digits; in production its callers' images change."}
    spec["data"]["production"] = {"days": 1, "most_rows": 4000}
    del spec["train"]["resources"], spec["gate"]
    spec["serve"] = {"wrapper": "serving:Wrapper", "params": {"fragile": {"default": True}}, "standby_s": 3600}
    spec["monitor"] = {"log": {"share": 1}, "schedule": None, "watch": "rollback", "on_alert": {"drift": "retrain"}}
    path.write_text(json.dumps(spec, indent=1))  # which is YAML
    (folder / MODEL / "serving.py").write_text(SERVING)
    load(path)
    return folder


def moved(row: Sequence[float]) -> list[float]:
    """Return an image with every line moved by a pixel to the right."""
    lines = [list(row[start : start + SIDE]) for start in range(0, len(row), SIDE)]
    return [pixel for line in lines for pixel in (0.0, *line[:-1])]


@dataclass
class Tally:
    """What came back while images were as they are now: by revision, how many there were and how many were right."""

    all: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    right: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def accuracy(self, version: int) -> float:
        """Return the share that was right, of those that a version gave."""
        return round(self.right[str(version)] / max(self.all[str(version)], 1), 4)


class Callers(Traffic):
    """Send digits, first as they are and then moved; tell some seconds later what was right; remember when answers were bad."""

    def __init__(self, settings: Settings, credentials: Credentials, api: AirflowApi) -> None:
        from sklearn.datasets import load_digits

        clean = images()
        changed = [[{**inputs[0], "data": moved(inputs[0]["data"])}] for inputs in clean]
        self._digits = [int(digit) for digit in load_digits().target] * 2
        self._half = len(clean)
        super().__init__(settings.gateway_url, credentials.api_keys["demo"], MODEL, [*clean, *changed], RATE_PER_S, check=reads_a_digit)
        self._api, self._waiting = api, list[tuple[float, str, int, bool]]()
        self.drifted_s: float | None = None
        self.labelled: list[tuple[float, int]] = []
        """When labels of moved images were told (seconds since the epoch), and how many."""
        self.answers = Tally()
        self.bad_s: list[float] = []
        self.latest: deque[str] = deque(maxlen=10 * RATE_PER_S)
        """Who gave the latest answers: while the watch suspects a champion, the version before answers."""
        self._teller = threading.Thread(target=self._tell, name="labels", daemon=True)

    def start(self) -> None:
        super().start()
        self._teller.start()

    def bad(self, *, forget: bool = False) -> list[float]:
        """When answers were bad (seconds since the epoch); ``forget``: from now on."""
        with self._lock:
            found = list(self.bad_s)
            if forget:
                self.bad_s.clear()
        return found

    def answered_by(self) -> set[str]:
        """Who gave the latest answers."""
        with self._lock:
            return set(self.latest)

    def odd(self) -> None:
        """Send the request that spoils a fragile version's server, until each of its instances has had it."""
        body = json.dumps({"inputs": [{**images()[0][0], "data": [ODD] + [0.0] * (SIDE * SIDE - 1)}]})
        for _ in range(20):
            requests.post(self._address, data=body, headers=self._headers, timeout=30)

    def drift(self) -> None:
        """From now on images are moved."""
        self.drifted_s = time.time()

    def choose(self, number: int) -> int:
        return number % self._half + (self._half if self.drifted_s is not None else 0)

    def answered(self, index: int, revision: str, request_id: str, answer: bytes, problem: str) -> None:
        with self._lock:
            self.latest.append(revision)
            if problem:
                self.bad_s.append(time.time())
                return
            if index >= self._half:
                said = next(output["data"][0] for output in json.loads(answer)["outputs"] if output["name"] == "label")
                self.answers.all[revision] += 1
                self.answers.right[revision] += said == self._digits[index]
            self._waiting.append((time.time(), request_id, self._digits[index], index >= self._half))

    def _tell(self) -> None:
        """Labels come some seconds after their answers, once these are in the log."""
        while not self._ending.wait(LABEL_EVERY_S):
            with self._lock:
                due = [one for one in self._waiting if one[0] < time.time() - LABEL_EVERY_S]
                self._waiting = self._waiting[len(due) :]
            if due:
                told = [{"id": request_id, "label": digit} for _, request_id, digit, _ in due]
                self._api.post(f"/lifecycle/v1/models/{MODEL}/feedback", {"labels": told, "unlogged": "skip"})
                self.labelled.append((time.time(), sum(one[3] for one in due)))


@dataclass
class Drift:
    """Tells the story on a platform that is up."""

    settings: Settings
    credentials: Credentials
    api: AirflowApi
    mlflow: Mlflow
    progress: Progress
    false_alarms: int = 0

    def tell(self) -> dict[str, Any]:
        """The whole story; the result for demo-drift.json. Raises ComponentError when it did not go as it should."""
        if CHAMPION in self.mlflow.aliases(MODEL):
            raise InputError("was told on this platform before.", where="demo-drift", remedy="Begin anew with `make clean`.")
        wait(lambda: self.api.get(f"/api/v2/dags/{MONITORING}", missing_ok=True), 120, "Airflow to find the model's DAGs")
        self.progress.say("A model that reads digits gets into production")
        first = self._run(LIFECYCLE, {"fragile": False}, RUN_S)
        callers = Callers(self.settings, self.credentials, self.api)
        callers.start()
        self.progress.say(f"From now on callers send {RATE_PER_S} images a second; what was right is told some seconds later")
        try:
            begun = time.time()
            sleep_until(begun + CLEAN_S)
            callers.drift()
            self.progress.say("Production changes: every image is moved by a pixel")
            alarm = self._look_until_harm(callers)
            retraining = self._retraining()
            self.progress.say("The alarm has begun a run of the lifecycle, which learns from what callers sent too")
            self._follow(LIFECYCLE, retraining, RUN_S)
            second = self.mlflow.aliases(MODEL)[CHAMPION]
            if second == first:
                raise ComponentError(
                    "the retrained version was not promoted.", where="demo-drift", remedy=f"See {self._page(LIFECYCLE, retraining)}"
                )
            wait(lambda: callers.answers.all[str(second)] > 10 * RATE_PER_S, 120, "answers of the retrained version")
            accuracies = callers.answers.accuracy(first), callers.answers.accuracy(second)
            self.progress.say(
                f"Version {second} is champion: {accuracies[1]:.1%} of its answers are right; of version {first}'s {accuracies[0]:.1%} were"
            )
            wait(lambda: watched_version(self.settings) == second, 120, "the watch of the new champion")
            wait(lambda: callers.answered_by() == {str(second)}, 180, "all callers to be answered by the new champion")
            taken_back = self._go_bad(callers, first)
        finally:
            report = callers.stop()
        why = self.api.get("/lifecycle/v1/began", params={"run_key": f"{LIFECYCLE}/{retraining}"})["why"]
        self.progress.say(f"The page Models says of the run: {why}")
        return {
            "false_alarms": self.false_alarms,
            "harm_found_after_rows": sum(rows for at, rows in callers.labelled if at < alarm),
            "retrained": True,
            "accuracy_before": accuracies[0],
            "accuracy_after": accuracies[1],
            "rollback_seconds": taken_back,
            "bad_answers": len(callers.bad()),
            "why": why,
            "versions": {"first": first, "retrained": second, "champion": self.mlflow.aliases(MODEL)[CHAMPION]},
            "seconds": round(self.progress.seconds, 1),
            "traffic": report.to_json(),
            "urls": {"models": f"{self.settings.airflow_url}/plugin/lifecycle", "run": self._page(LIFECYCLE, retraining)},
        }

    def summary(self, result: Mapping[str, Any]) -> str:
        """The story in a few lines."""
        return (
            f"\nIn {result['seconds']} s: {result['false_alarms']} false alarms; "
            f"harm found after {result['harm_found_after_rows']} labelled rows; "
            f"{result['accuracy_before']:.1%} of the answers were right before the retraining and {result['accuracy_after']:.1%} after it; "
            f"a champion that went bad gave {result['bad_answers']} bad answers within {result['rollback_seconds']} s."
        )

    def failure(self, result: Mapping[str, Any]) -> str:
        """Why a story that was told to its end did not show what it is for: none, what fails ends it."""
        return ""

    def _look_until_harm(self, callers: Callers) -> float:
        """Look at production as its schedule would, until harm is found; the end of what that look has seen (seconds since the epoch)."""
        assert callers.drifted_s is not None
        self.progress.say("Production is looked at; a look takes what is older than a minute")
        sleep_until(callers.drifted_s + SETTLED_S - 3)
        for _ in range(6):
            verdict, until = self._look()
            if verdict == "ALARM" and until > callers.drifted_s:
                return until
            self.false_alarms += verdict == "ALARM"
            sleep_until(callers.drifted_s + SETTLED_S + 10)
        raise ComponentError("no look has found the harm.", where="demo-drift", remedy=f"See {self.settings.airflow_url}/dags/{MONITORING}")

    def _look(self) -> tuple[str, float]:
        run_id = self.api.trigger(MONITORING, {})
        follow(self.api, MONITORING, run_id, self.progress, timeout_s=LOOK_S)
        (row,) = self.api.get("/lifecycle/v1/verdicts", params={"run_key": f"{MONITORING}/{run_id}"})
        self.progress.say(f"  {row['decision']}: {' '.join(row['body']['reasons'])[:300]}")
        return row["decision"], datetime.fromisoformat(row["body"]["evidence"]["until"]).timestamp()

    def _retraining(self) -> str:
        """The run that the alarm has begun."""

        def begun() -> str:
            acts = self.api.get("/lifecycle/v1/acts", params={"model": MODEL})
            return next((act["run_key"].partition("/")[2] for act in acts if act["act"] == "retrain" and act["state"] == "BEGUN"), "")

        return str(wait(begun, 60, "the run that the alarm brings about"))

    def _go_bad(self, callers: Callers, before: int) -> float:
        """Have the champion's server go bad; the seconds from its first bad answer to its last."""
        self.progress.say("The new champion's server goes bad")
        callers.bad(forget=True)
        callers.odd()
        wait(lambda: self.mlflow.aliases(MODEL)[CHAMPION] == before, 180, "production to be taken back")
        settled = time.time()
        wait(lambda: time.time() > settled + 3, 10, "answers after the return")
        bad = callers.bad()
        if bad and max(bad) > settled + 1:
            raise ComponentError(
                "callers still get bad answers after the return.",
                where="demo-drift",
                remedy=f"See {self.settings.airflow_url}/dags/{ROLLBACK}",
            )
        found = round(max(bad) - min(bad), 2) if bad else 0.0  # the watch may have suspected it before
        self.progress.say(f"Version {before} is champion again: {len(bad)} bad answers, the last one {found} s after the first")
        return found

    def _run(self, dag: str, conf: Mapping[str, Any], timeout_s: float) -> int:
        run_id = self.api.trigger(dag, dict(conf))
        self._follow(dag, run_id, timeout_s)
        return self.mlflow.aliases(MODEL)[CHAMPION]

    def _follow(self, dag: str, run_id: str, timeout_s: float) -> None:
        state = follow(self.api, dag, run_id, self.progress, timeout_s=timeout_s)
        if state != "success":
            raise ComponentError(f"the run {run_id} ended as {state}.", where="demo-drift", remedy=f"See {self._page(dag, run_id)}")

    def _page(self, dag: str, run_id: str) -> str:
        return f"{self.settings.airflow_url}/dags/{dag}/runs/{run_id}"


def watched_version(settings: Settings) -> int | None:
    """The version that the watch looks at, as it has last written down."""
    try:
        known = json.loads(settings.watch.read_text())["models"].get(MODEL) or {}
    except (OSError, ValueError, KeyError):
        return None
    return (known.get("life") or {}).get("version")


def sleep_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.time()))


def wait(asked: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """What ``asked`` gives once it gives something. Raises ComponentError after ``timeout_s`` seconds."""
    end = time.monotonic() + timeout_s
    while not (found := asked()):
        if time.monotonic() > end:
            raise ComponentError(f"waited {timeout_s:g} s in vain for {what}.", where="demo-drift", remedy="See `make logs`.")
        time.sleep(0.5)
    return found
