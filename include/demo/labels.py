"""The story of `make demo-labels`: a model that has seen few digits, the digits that it is least sure of labelled by two people in Label
Studio, and a version that has learnt from them promoted.

People are played by clients that log in as people do and label by Label Studio's own API, each with mistakes of their own.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests

from include.demo.digits import reads_a_digit
from include.demo.drift import wait
from include.demo.progress import Progress, follow
from include.errors import ComponentError, InputError
from include.kinds.load import load
from include.labels import ask
from include.labels.template import KEY, NAME
from include.platform.labelling import USER, VARIABLE
from include.registry.mlflow import CHAMPION, Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.traffic import Traffic
from include.spec import document

MODEL = "sketched_digits"
LIFECYCLE, LABELLING = f"{MODEL}_lifecycle", f"{MODEL}_labelling"
KNOWN, TASKS, CONTROL = 200, 120, 0.25
"""Digits that have a label from the beginning; tasks of the round, and the share of them drawn at random."""
MISTAKES = 0.04
"""Of each person's labels."""
RATE_PER_S = 70
RUN_S, WAIT_S = 420.0, 240.0
PEOPLE = (USER, "bo@updraft.local")


def write_model(settings: Settings) -> Path:
    """Write the folder of models that the story needs, the shipped ones and its own, and return it. Has Label Studio start with the
    platform."""
    from sklearn.datasets import load_digits

    os.environ[VARIABLE] = "1"
    folder = settings.home / "demo-models" / "labels"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(settings.models, folder, ignore=shutil.ignore_patterns("__pycache__"))
    own = folder / MODEL
    shutil.copytree(folder / "digits", own)
    frame = load_digits(as_frame=True).frame.rename(columns={"target": "digit"}).sample(frac=1, random_state=7)
    frame.head(KNOWN).to_csv(own / "known.csv", index=False)
    frame.iloc[KNOWN:].drop(columns="digit").to_csv(own / "pool.csv", index=False)
    (own / "expectations.yaml").write_text('- expect_column_values_to_be_between: {columns: "pixel_*", min_value: 0, max_value: 16}\n')
    (own / "data.py").unlink()
    (own / "serving.py").unlink()
    spec: dict[str, Any] = document.read(own / "model.yaml").value
    spec |= {"name": MODEL, "description": "Reads handwritten digits; most of them nobody has labelled yet."}
    spec["data"] = {"source": "known.csv", "target": "digit"}
    spec["label"] = {
        "rows": "pool.csv",
        "show": "picture",
        "picture": {"columns": "pixel_*", "width": 8, "maximum": 16},
        "classes": list(range(10)),
        "tasks": TASKS,
        "control": CONTROL,
        "annotators": len(PEOPLE),
        "wait_hours": 1,
        "reconcile": None,
    }
    spec["gate"], spec["serve"] = {"min_score": 0.6}, {}
    spec["canary"]["step_s"] = 20  # requests enough to tell a share of errors below one in a hundred
    del spec["train"]["resources"]
    (own / "model.yaml").write_text(json.dumps(spec, indent=1))  # which is YAML
    load(own / "model.yaml")
    return folder


class Person:
    """Somebody who labels in Label Studio: logs in with a form, as a browser does, and then asks its API with the session's cookie."""

    def __init__(self, url: str, email: str, password: str, invitation: str = "") -> None:
        self.email, self._url, self._session = email, url, requests.Session()
        page = invitation or "/user/login/"
        self._session.get(url + page, timeout=60)
        form = {"email": email, "password": password, "csrfmiddlewaretoken": self._session.cookies["csrftoken"]}
        form |= {"allow_newsletters": "false"} if invitation else {"persist_session": "on"}
        self._session.post(url + page, data=form, headers={"Referer": url + page}, timeout=60)
        if (who := self.call("GET", "/api/current-user/whoami").get("email")) != email:
            raise ComponentError(f"is logged in as {who!r} and not as {email!r}.", where="Label Studio")

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """Return the JSON answer of Label Studio's API. Raises ComponentError for a refusal."""
        headers = {"X-CSRFToken": self._session.cookies.get("csrftoken", ""), "Referer": self._url}
        answer = self._session.request(method, self._url + path, headers=headers, timeout=60, **kwargs)
        if not answer.ok:
            raise ComponentError(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}", where="Label Studio")
        return answer.json()

    def label(self, project: int, truth: Callable[[Mapping[str, Any]], int], chance: random.Random) -> int:
        """Label every task of a project that is given, mostly as it is; the number of them."""
        tasks = self.call("GET", f"/api/tasks/?project={project}&page_size={TASKS}&fields=all")["tasks"]
        for task in tasks:
            digit = truth(task["data"])
            if chance.random() < MISTAKES:
                digit = (digit + chance.randint(1, 9)) % 10
            part = {"from_name": NAME, "to_name": "shown", "type": "choices", "value": {"choices": [str(digit)]}}
            self.call("POST", f"/api/tasks/{task['id']}/annotations/", json={"result": [part], "lead_time": 2.0})
        return len(tasks)


@dataclass
class Labels:
    """Tells the story on a platform that is up."""

    settings: Settings
    credentials: Credentials
    api: AirflowApi
    mlflow: Mlflow
    progress: Progress

    def tell(self) -> dict[str, Any]:
        """The whole story; the result for demo-labels.json. Raises ComponentError when it did not go as it should."""
        if CHAMPION in self.mlflow.aliases(MODEL):
            raise InputError("was told on this platform before.", where="demo-labels", remedy="Begin anew with `make clean`.")
        for dag in (LIFECYCLE, LABELLING):
            wait(partial(self.api.get, f"/api/v2/dags/{dag}", missing_ok=True), 120, "Airflow to find the model's DAGs")
        self.progress.say(f"A model that has seen {KNOWN} labelled digits gets into production")
        self._follow(LIFECYCLE, self.api.trigger(LIFECYCLE, {}))
        first = int(self.mlflow.aliases(MODEL)[CHAMPION])
        before = self._accuracy(first)
        self.progress.say(f"  version {first} reads {before:.1%} of the digits that nobody has labelled")
        self.progress.say(f"A round of labelling: {TASKS} digits, {CONTROL:.0%} of them at random, the others those it is least sure of")
        round_id = self.api.trigger(LABELLING, {})
        project = self._imported(round_id)
        preannotated = self._label(project)
        state = follow(self.api, LABELLING, round_id, self.progress, timeout_s=WAIT_S)
        self._insist(state, LABELLING, round_id)
        (judged,) = self.api.get("/lifecycle/v1/verdicts", params={"run_key": f"{LABELLING}/{round_id}"})
        for reason in judged["body"]["reasons"]:
            self.progress.say(f"  {reason}")
        learnt = self._xcom(round_id, "lifecycle")["run"].partition("/")[2]
        self.progress.say("The round has begun a run of the lifecycle, which learns from the labels; callers go on asking")
        callers = Traffic(self.settings.gateway_url, self.credentials.api_keys["demo"], MODEL, _images(), RATE_PER_S, check=reads_a_digit)
        callers.start()
        try:
            self._follow(LIFECYCLE, learnt)
        finally:
            report = callers.stop()
        second = int(self.mlflow.aliases(MODEL)[CHAMPION])
        after = self._accuracy(second)
        self.progress.say(f"  version {second} reads {after:.1%} of the same digits")
        return {
            "tasks": TASKS,
            "preannotated": preannotated,
            "people": len(PEOPLE),
            "agreement": judged["body"]["evidence"]["alpha"],
            "arms": judged["body"]["evidence"]["arms"],
            "labelled": judged["body"]["evidence"]["labelled"],
            "accuracy_before": before,
            "accuracy_after": after,
            "promoted": second != first,
            "versions": {"first": first, "champion": second},
            "traffic": report.to_json(),
            "seconds": round(self.progress.seconds, 1),
            "urls": {
                "label_studio": self.settings.labels_url,
                "round": self._page(LABELLING, round_id),
                "run": self._page(LIFECYCLE, learnt),
            },
        }

    def summary(self, result: Mapping[str, Any]) -> str:
        """The story in a few lines."""
        return (
            f"\nIn {result['seconds']} s: {result['people']} people labelled {result['tasks']} digits (alpha {result['agreement']:.3f}), "
            f"{result['preannotated']} of them with the champion's answer shown; version {result['versions']['champion']} has learnt from "
            f"{result['labelled']} and reads {result['accuracy_after']:.1%} of the unlabelled digits, where the one before read "
            f"{result['accuracy_before']:.1%}."
        )

    def failure(self, result: Mapping[str, Any]) -> str:
        """Why a story that was told to its end did not show what it is for; empty when it did."""
        if not result["promoted"]:
            return "the version that has learnt from the labels was not promoted."
        return "" if result["accuracy_after"] > result["accuracy_before"] else "the labels have not made the model better."

    def _imported(self, round_id: str) -> int:
        """The project, once the round's tasks are in it."""
        path = f"/api/v2/dags/{LABELLING}/dagRuns/{round_id}"

        def waits() -> bool:
            states = {one["task_id"]: one["state"] for one in self.api.task_instances(LABELLING, round_id)}
            if self.api.get(path)["state"] == "failed":
                raise ComponentError(f"the round ended: {states}.", where="demo-labels", remedy=f"See {self._page(LABELLING, round_id)}")
            return states.get("wait") == "deferred"

        wait(waits, WAIT_S, "the round to wait for people")
        return int(self._xcom(round_id, "import")["project"])

    def _label(self, project: int) -> int:
        """Have both people label; how many tasks showed them the champion's answer."""
        known = {_pixels(row): digit for row, digit in zip(_images_as_rows(), _digits(), strict=True)}
        first = Person(self.settings.labels_url, USER, self.credentials.labels_password)
        invitation = str(first.call("GET", "/api/invite")["invite_url"])
        second = Person(self.settings.labels_url, PEOPLE[1], "a-password-of-her-own-1", invitation)
        tasks = first.call("GET", f"/api/tasks/?project={project}&page_size={TASKS}&fields=all")["tasks"]
        for number, person in enumerate((first, second)):
            count = person.label(project, lambda data: known[_pixels(data)], random.Random(number))
            self.progress.say(f"  {person.email} has labelled {count} digits")
        return sum(bool(one["predictions"]) for one in tasks)

    def _accuracy(self, version: int) -> float:
        """The share of the digits without a label that a version reads rightly."""
        from include.gateway.gateway import Gateway

        headers = Gateway(self.settings).batch_headers(str(version))
        rows, digits = _images_as_rows()[KNOWN:], _digits()[KNOWN:]
        said = ask.answers(self.settings.gateway_url, headers, MODEL, rows, 16)
        right = sum(bool(answer == digit) for (answer, _), digit in zip(said, digits, strict=True))
        return round(right / len(digits), 4)

    def _xcom(self, run_id: str, task: str) -> dict[str, Any]:
        value = self.api.get(f"/api/v2/dags/{LABELLING}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value")["value"]
        return dict(json.loads(value) if isinstance(value, str) else value)

    def _follow(self, dag: str, run_id: str) -> None:
        self._insist(follow(self.api, dag, run_id, self.progress, timeout_s=RUN_S), dag, run_id)

    def _insist(self, state: str, dag: str, run_id: str) -> None:
        if state != "success":
            raise ComponentError(f"the run {run_id} ended as {state}.", where="demo-labels", remedy=f"See {self._page(dag, run_id)}")

    def _page(self, dag: str, run_id: str) -> str:
        return f"{self.settings.airflow_url}/dags/{dag}/runs/{run_id}"


def _shuffled() -> Any:
    from sklearn.datasets import load_digits

    return load_digits(as_frame=True).frame.sample(frac=1, random_state=7)


def _images_as_rows() -> list[dict[str, Any]]:
    return list(_shuffled().drop(columns="target").to_dict("records"))


def _digits() -> list[int]:
    return [int(digit) for digit in _shuffled()["target"]]


def _images() -> list[list[dict[str, Any]]]:
    rows = [[float(value) for value in row.values()] for row in _images_as_rows()]
    return [[{"name": "input", "datatype": "FP32", "shape": [1, len(row)], "data": row}] for row in rows]


def _pixels(data: Mapping[str, Any]) -> tuple[int, ...]:
    """An image as what it is known by: its pixels in order, whatever else a task holds."""
    names = [name for name in data if re.fullmatch(r"pixel_\d_\d", name) and name != KEY]
    return tuple(int(data[name]) for name in sorted(names))
