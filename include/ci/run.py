"""A model's run for a commit: begun once, however often it is asked for, and waited for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from include.ci.comment import comment
from include.errors import ComponentError, InputError
from include.kinds.frozen import freeze, thaw
from include.report.collect import collect
from include.report.data import ReportData
from include.runtime.airflow_api import TERMINAL, AirflowApi, Refused, said
from include.spec.schema import Spec

POLL_S = 5.0
KEY = re.compile(r"[A-Za-z0-9_.-]{1,100}")
APPEARS_S = 180
"""A new model's DAG is in Airflow after one reading of all DAGs: 10 to 40 s."""
CONFLICT, MISSING = 409, 404
PREFIX = "ci__"
Say = Callable[[str], None]


class Run:
    """One run of the lifecycle of ``model`` at the Airflow of ``api``; ``key``, the commit's, is its name there."""

    def __init__(self, api: AirflowApi, model: str, key: str) -> None:
        if not KEY.fullmatch(key):
            raise InputError(f"{key[:60]!r} is no key.", where="--key", remedy="Letters, digits, dots, dashes; a commit's hash.")
        self._api, self._model = api, model
        self.dag_id, self.run_id = f"{model}_lifecycle", f"{PREFIX}{key}"

    @property
    def key(self) -> str:
        """The run's key in the platform's tables."""
        return f"{self.dag_id}/{self.run_id}"

    @property
    def url(self) -> str:
        """Its page in Airflow."""
        return f"{self._api.url}/dags/{quote(self.dag_id)}/runs/{quote(self.run_id)}"

    def begin(self, conf: Mapping[str, Any], say: Say) -> bool:
        """Begin it, or find it begun already (False). Raises InputError for what the platform refuses, in its words."""
        until = time.monotonic() + APPEARS_S
        while True:
            try:
                self._api.post(f"/api/v2/dags/{self.dag_id}/dagRuns", {"dag_run_id": self.run_id, "logical_date": None, "conf": dict(conf)})
                return True
            except Refused as error:
                if error.status == CONFLICT:
                    return False
                if error.status != MISSING:
                    raise
            if time.monotonic() > until:
                what = f"there is no DAG {self.dag_id}: the platform does not have the model, or its spec is broken there."
                raise InputError(what, where=self._api.url, remedy="Look at Airflow's import errors; see docs/ci.md.")
            say(f"There is no DAG {self.dag_id} yet.")
            time.sleep(POLL_S)

    def wait(self, minutes: float, say: Say) -> None:
        """Wait until it has ended. Raises ComponentError after so many ``minutes``: it goes on, and asking again finds it."""
        until, before = time.monotonic() + 60 * minutes, ""
        while True:
            run = self._api.get(f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}")
            now = said({task["task_id"]: task["state"] or "none" for task in self._tasks()} | {"": run["state"]})
            if now != before:
                say(now)
                before = now
            if run["state"] in TERMINAL:
                return
            if time.monotonic() > until:
                what = f"the run {self.run_id} has not ended within {minutes:g} minutes: {now}."
                raise ComponentError(what, where=self._api.url, remedy="It goes on. Run the job again: it finds the same run.")
            time.sleep(POLL_S)

    def found(self) -> ReportData:
        """What has become of it, as its report says."""
        spec = self._spec()
        if spec is None:
            what = f"the run {self.run_id} ended before it had read its spec."
            raise ComponentError(what, where=self._api.url, remedy="Its first task's log in Airflow says why.")
        verdicts = self._api.get("/lifecycle/v1/verdicts", params={"run_key": self.key})
        return collect(run_key=self.key, spec=spec, verdicts=verdicts, tasks=self._tasks(), versions={})

    def different(self, spec: Spec) -> str:
        """What of the spec that the run was bound to is not as in ``spec``, the commit's; empty where nothing is."""
        bound = self._spec()
        mine, theirs = freeze(spec), freeze(bound) if bound is not None else {}
        fields = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
        if not fields:
            return ""
        return f"The platform ran another model.yaml than this commit's: {', '.join(fields)} differ."

    def told(self, data: ReportData, different: str = "") -> str:
        """The comment on it."""
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/report/xcomEntries/return_value"
        value = (self._api.call("GET", path, missing_ok=True) or {}).get("value")
        # The platform writes the address that it knows itself by; whoever reads the comment gets there as this job did.
        page = urlsplit(str(value["report"])).path if isinstance(value, dict) and value.get("report") else ""
        return comment(data, run_url=self.url, report_url=f"{self._api.url}{page}" if page else "", different=different)

    def _spec(self) -> Spec | None:
        found = self._api.call("GET", "/lifecycle/v1/spec", params={"run_key": self.key}, missing_ok=True)
        return thaw(found["spec"]) if found else None

    def _tasks(self) -> list[dict[str, Any]]:
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances"
        found: list[dict[str, Any]] = self._api.get(path, params={"limit": 200})["task_instances"]
        return found


def read_conf(text: str) -> dict[str, Any]:
    """The parameters of a run as JSON. InputError when they are none."""
    import json

    try:
        conf = json.loads(text or "{}")
    except ValueError as error:
        raise InputError(f"is no JSON: {error}.", where="--conf", remedy='Write {"c": 0.5}.') from None
    if not isinstance(conf, dict):
        raise InputError("is no mapping.", where="--conf", remedy='Write {"c": 0.5}.')
    return conf


def changed(paths: list[str], models: Path) -> list[str]:
    """The models in whose folders the changed files ``paths`` lie (relative to the repository), sorted; those that are gone left out."""
    inside = models.as_posix().strip("/") + "/"
    names = {path[len(inside) :].split("/")[0] for path in paths if path.startswith(inside) and "/" in path[len(inside) :]}
    return sorted(name for name in names if (models / name / "model.yaml").is_file())
