"""A small client of Airflow's public REST API and of the plugins' APIs beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from include.errors import ComponentError, InputError
from include.runtime import web

TERMINAL = ("success", "failed")
PAGE = 100
"""Airflow gives no more rows at once (`[api] maximum_page_limit`), whatever is asked for."""
PAUSE_S = 0.5
"""Between a read that got no answer and the next."""
Say = Callable[[str], None]
RESTING = (*TERMINAL, "none", "skipped", "upstream_failed", "removed")
"""States of tasks that do nothing, or nothing any more."""
TRIES = 5
AGAIN_S = 0.25
"""How often, and after which pause (doubled each time), a call that the server failed (5xx) is made again; on SQLite a write that meets
another fails at once, however busy. What may not be repeated (POST) is never made twice."""


class Refused(InputError):
    """The server refused (4xx). ``detail`` is its own sentence, ``body`` the whole answer (JSON, {} if it was none)."""

    def __init__(self, what: str, status: int, detail: str, body: dict[str, Any], *, where: str) -> None:
        super().__init__(what, where=where)
        self.status, self.detail, self.body = status, detail, body


class AirflowApi:
    """Calls with a bearer token, fetched on first use and again when it has expired.

    ``patience_s``: for so long a read (GET) that gets no answer is made again; ``say`` is told that it is waited for.
    """

    def __init__(
        self, url: str, username: str, password: str, timeout_s: float = 30, *, patience_s: float = 0, say: Say | None = None
    ) -> None:
        self.url, self._username, self._password, self._timeout_s = url.rstrip("/"), username, password, timeout_s
        self._patience_s, self._say = patience_s, say
        self._session = web.session(web.again(TRIES, AGAIN_S, connect=False))
        self._token = ""

    def call(self, method: str, path: str, *, missing_ok: bool = False, **kwargs: Any) -> Any:
        """The JSON answer of ``path`` (None for an empty one, or for 404 with ``missing_ok``).

        Raises Refused (an InputError) on a refusal (4xx), with the server's own words, and ComponentError when the server fails or is away.
        """
        answer = self._answer(method, path, missing_ok=missing_ok, **kwargs)
        return None if answer.status_code == 404 or not answer.content else answer.json()

    def text(self, path: str, **kwargs: Any) -> str:
        """The answer of ``path`` as it is. Raises as :meth:`call` does."""
        return self._answer("GET", path, **kwargs).text

    def _answer(self, method: str, path: str, *, missing_ok: bool = False, **kwargs: Any) -> requests.Response:
        answer = self._send(method, path, **kwargs)
        if answer.status_code == 401:
            self._token = ""
            answer = self._send(method, path, **kwargs)
        if answer.status_code == 404 and missing_ok:
            return answer
        if answer.status_code >= 500:
            raise ComponentError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}", where=self.url)
        if answer.status_code >= 400:
            detail = _detail(answer)
            what = f"{method} {path} was refused ({answer.status_code}): {detail}"
            raise Refused(what, answer.status_code, detail, _body(answer), where=self.url)
        return answer

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.call("GET", path, **kwargs)

    def post(self, path: str, body: Any, **kwargs: Any) -> Any:
        return self.call("POST", path, json=body, **kwargs)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run; its run id."""
        run = self.post(f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
        return str(run["dag_run_id"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run: of a mapped task each, however many there are."""
        found: list[dict[str, Any]] = []
        while True:
            query = {"limit": PAGE, "offset": len(found)}
            page = self.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params=query)
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def follow(self, dag_id: str, run_id: str, *, timeout_s: float, poll_s: float = 1.0) -> Iterator[dict[str, str]]:
        """Task (:func:`name_of`) → state once every ``poll_s`` seconds, until the run has ended; the key ``""`` holds the run's own state.

        Raises ComponentError when no state has changed for ``timeout_s`` seconds: a run that goes on may take as long as it takes.
        """
        deadline, before = 0.0, {"": ""}
        while True:
            run = self.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
            states = {name_of(task): task["state"] or "none" for task in self.task_instances(dag_id, run_id)} | {"": run["state"]}
            if states != before:
                deadline, before = time.monotonic() + timeout_s, states
            yield states
            if run["state"] in TERMINAL:
                return
            if time.monotonic() > deadline:
                raise ComponentError(f"run {run_id} of {dag_id} has not moved for {timeout_s:.0f} s: {said(states)}.", where=self.url)
            time.sleep(poll_s)

    def _send(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        until = time.monotonic() + (self._patience_s if method == "GET" else 0)
        while True:
            try:
                headers = {"Authorization": f"Bearer {self._token or self._login()}"}
                return self._session.request(method, self.url + path, headers=headers, timeout=self._timeout_s, **kwargs)
            except requests.RequestException as error:
                what = f"{method} {path} got no answer ({type(error).__name__})."
                if time.monotonic() >= until:
                    raise ComponentError(what, where=self.url, remedy="See `make status`.") from None
            if self._say:
                self._say(f"Airflow is slow: {what} Asking again.")
            time.sleep(PAUSE_S)

    def _login(self) -> str:
        body = {"username": self._username, "password": self._password}
        answer = self._session.post(f"{self.url}/auth/token", json=body, timeout=self._timeout_s)
        if answer.status_code >= 500:
            raise ComponentError(f"the login answered {answer.status_code}.", where=self.url)
        if answer.status_code >= 400:
            raise InputError(f"the login as {self._username} was refused: {_detail(answer)}", where=self.url)
        self._token = str(answer.json()["access_token"])
        return self._token


def name_of(task: Mapping[str, Any]) -> str:
    """Return a task instance's name: of a mapped task with its number, ``search_trial[3]``. Pure."""
    number = task.get("map_index", -1)
    return str(task["task_id"]) if number < 0 else f"{task['task_id']}[{number}]"


def said(states: Mapping[str, str]) -> str:
    """Return what a run is at, in words: ``train is running, evaluate is scheduled``. Pure."""
    moving = [f"{task} is {state.replace('_', ' ')}" for task, state in states.items() if task and state not in RESTING]
    return ", ".join(moving) or f"the run is {states['']}"


def _detail(answer: requests.Response) -> str:
    return str(_body(answer).get("detail", answer.text))[:1000]


def _body(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
