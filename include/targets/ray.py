"""A step as a job of a Ray cluster, by Ray's job API; known by its submission id, which is the step's name.

Ray's nodes and Airflow's workers share the steps' folder at the same path: what the step says and what comes of it goes through it. What
others must not see (MLflow's password) does too: whoever may look at a job of Ray's sees its environment.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import ComponentError, InputError, UpdraftError
from include.runtime import layers, web
from include.runtime.settings import REPO, Settings
from include.steps import contained, gang
from include.steps.context import StepRequest
from include.targets.target import Step, Target, ended_from_outside

CONNECTION = "updraft_ray"
WHERE = f"connection {CONNECTION}"
TIMEOUT_S = (3.05, 20.0)
PATIENCE_S = 120.0
"""The job API may be away for so long while a step is followed; it is tried for so long to start one."""
STOP_S = 60.0
LOOK_S = 1.0
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")


@dataclass(frozen=True)
class RayPlace:
    """How a Ray cluster is used. ``python`` and ``code``: interpreter and Updraft's folder on its nodes; ``token``: of its API."""

    url: str
    token: str = ""
    python: str = "python"
    code: str = str(REPO)

    @classmethod
    def of(cls, url: str, token: str, extra: Mapping[str, Any]) -> RayPlace:
        """From a connection. Raises InputError."""
        if not url:
            raise InputError("names no host.", where=WHERE, remedy="Give the address of Ray's dashboard: host, port (8265), schema.")
        given = {name: extra[name] for name in ("python", "code") if name in extra}
        for name, value in given.items():
            if not isinstance(value, str) or not value:
                raise InputError(f"{name} is {value!r:.60}.", where=f"{WHERE}, extra", remedy="Give a text.")
        return cls(url.rstrip("/"), token, **given)


class RayTarget(Target):
    """Runs steps on the Ray cluster behind a job API."""

    local = False

    def __init__(self, settings: Settings, place: RayPlace, patience_s: float = PATIENCE_S) -> None:
        super().__init__(settings)
        self._place, self._patience_s = place, patience_s
        self._away_since: float | None = None
        self._seen: dict[str, tuple[float, dict[str, Any]]] = {}

    def identity(self, runtime: str) -> str:
        if layers.split(runtime)[1]:
            what = "Ray's nodes have an environment of their own, without the model's packages."
            remedy = f"Install them there and remove {layers.FILE}, or leave `train.launcher` out."
            raise InputError(what, where=layers.FILE, remedy=remedy)
        return f"{self._place.python} {self._place.code}"

    def start(self, step: Step, request: StepRequest, runtime: str, environment: Mapping[str, str]) -> None:
        code, python = self._place.code, self._place.python
        gang.tell(step.folder, self.environment(step) | {"PYTHONPATH": code} | dict(environment))
        words = " ".join(map(shlex.quote, (f"PYTHONPATH={code}", python, "-m", "include.steps.contained", str(step.folder))))
        job = {
            "entrypoint": f"cd {shlex.quote(code)} && exec env {words}",
            "submission_id": step.name,
            "metadata": {"updraft.run": request.run_key, "updraft.step": request.step},
            "entrypoint_num_cpus": 0,
        }
        until = time.monotonic() + self._patience_s
        while True:
            try:
                self._call("POST", "/api/jobs/", job)
                break
            except ComponentError:  # a cluster that has just begun has nobody yet to start jobs
                if time.monotonic() > until:
                    raise
                time.sleep(LOOK_S)
                if self._info(step):  # the call that made it was not answered
                    break
        self._seen.pop(step.name, None)

    def alive(self, step: Step) -> bool:
        """A job API that has just gone away says nothing about its jobs: what was last seen counts, for a while."""
        looked, info = self._seen.get(step.name, (float("-inf"), {}))
        if time.monotonic() - looked > LOOK_S:
            try:
                info = self._info(step)
                self._away_since = None
            except ComponentError:
                self._away_since = self._away_since or time.monotonic()
                if not info or time.monotonic() - self._away_since > self._patience_s:
                    raise
            self._seen[step.name] = time.monotonic(), info
        return bool(info) and info["status"] not in ENDED

    def says(self, step: Step) -> str:
        info = self._seen.get(step.name, (0.0, {}))[1]
        if self._away_since is not None:
            return "Ray's job API gives no answer. What was last seen of the step counts."
        return f"Ray has not started it yet: {info.get('message') or 'PENDING'}" if info.get("status") == "PENDING" else ""

    def ask_to_stop(self, step: Step) -> None:
        contained.ask_to_stop(step.folder)

    def stop(self, step: Step) -> None:
        until = time.monotonic() + STOP_S
        if (info := self._info(step)) and info["status"] not in ENDED:
            self._call("POST", f"/api/jobs/{step.name}/stop", missing_ok=True)
        while (info := self._info(step)) and info["status"] not in ENDED:
            if time.monotonic() > until:
                raise ComponentError("does not end it.", where=f"Ray job {step.name}", remedy="Look at it in Ray's dashboard.")
            time.sleep(LOOK_S)
        if info:
            self._call("DELETE", f"/api/jobs/{step.name}", missing_ok=True)
        self._seen.pop(step.name, None)

    def kill(self, step: Step) -> None:
        self.stop(step)

    def failure(self, step: Step) -> UpdraftError:
        info = self._info(step)
        if not info:
            return ended_from_outside(step, "its Ray job is gone: somebody has deleted it, or the cluster was started anew.")
        if info["status"] == "SUCCEEDED":
            return InputError(
                f"its Ray job ended well, and there is no result in {step.folder}: Ray's nodes see another folder there.",
                where=WHERE,
                remedy="Mount the steps' folder at the same path on all of them.",
            )
        said = " ".join(str(info.get("message") or "").split())
        if "does not" in said or "No such file or directory" in said or "No module named" in said:
            return InputError(f"Ray could not start it: {said[-400:]}", where=f"{WHERE}, extra", remedy="Mend `python` or `code`.")
        return ended_from_outside(step, f"its Ray job is {info['status']}: {said[-400:] or 'no reason given'}.")

    def _info(self, step: Step) -> dict[str, Any]:
        """Empty when there is no such job."""
        return self._call("GET", f"/api/jobs/{step.name}", missing_ok=True)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, missing_ok: bool = False) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._place.token}"} if self._place.token else {}
        try:
            answer = web.ask(method, self._place.url + path, json=body, headers=headers, timeout=TIMEOUT_S)
        except OSError as error:
            raise ComponentError(
                f"gives no answer ({type(error).__name__}).",
                where=f"Ray's job API at {self._place.url}",
                remedy=f"Its address is in {WHERE}.",
            ) from None
        if answer.status_code == 404 and missing_ok:
            return {}
        if answer.status_code in (401, 403):
            raise InputError("refuses the token.", where=f"Ray's job API at {self._place.url}", remedy=f"It is the password of {WHERE}.")
        if not answer.ok:
            last = answer.text.strip().splitlines()[-1:] or [""]
            raise ComponentError(f"answered {answer.status_code}: {last[0][:300]}", where=f"Ray's job API at {self._place.url}")
        try:
            found = answer.json()
        except json.JSONDecodeError:
            raise ComponentError(
                "answers with something else than JSON.", where=self._place.url, remedy=f"Is it Ray's dashboard? See {WHERE}."
            ) from None
        return found if isinstance(found, dict) else {}
