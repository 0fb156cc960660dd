"""What every operator of a lifecycle knows of its run: the spec with the run's params, the run's key, and the servers it talks to."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.data import roots
from include.door.token import Grant, sign
from include.errors import InputError, UpdraftError
from include.kinds import frozen
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.kinds.run_params import apply, check_conf
from include.registry.mlflow import Mlflow
from include.runtime import pinned
from include.runtime.airflow_api import AirflowApi
from include.runtime.settings import Settings
from include.spec.names import DATA_SOURCE
from include.spec.schema import Spec
from include.verdict import Verdict

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from include.kinds.kind import Kind

EXPERIMENT_PREFIX = "updraft/"


@dataclass(frozen=True)
class Run:
    """One DAG run of one model. ``key`` is unique to it and the same in every try of every task."""

    key: str
    spec_path: Path
    spec: Spec
    params: Mapping[str, Any]

    @classmethod
    def of(cls, context: Mapping[str, Any], spec_path: str) -> Run:
        """Make it from a task's context, with the spec that the run is bound to: the first of its tasks keeps it, and later changes of
        model.yaml are for later runs.

        Raises InputError for params that the trigger could not check (a run from the command line).
        """
        run, params = context["dag_run"], dict(context["params"])
        key, api = f"{run.dag_id}/{run.run_id}", airflow_api()
        kept = api.get("/lifecycle/v1/spec", params={"run_key": key}, missing_ok=True)
        if kept is None:  # whichever of two tasks is first: the answer is what is kept
            kept = {"spec": frozen.freeze(_effective(Path(spec_path), params))}
            kept = api.call("PUT", "/lifecycle/v1/spec", json={"run_key": key, "model": Path(spec_path).parent.name} | kept)
        if params.get(DATA_SOURCE):
            params[DATA_SOURCE] = str(roots.locate(params[DATA_SOURCE], Path(spec_path).parent, Settings.load().data_roots))
        return cls(key, Path(spec_path), frozen.thaw(kept["spec"]), params)

    @property
    def model(self) -> str:
        return self.spec.name

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.spec_path.parent

    @property
    def kind(self) -> Kind:
        """The kind of the model."""
        return kind_of(self.spec)

    @cached_property
    def settings(self) -> Settings:
        return Settings.load()

    @cached_property
    def mlflow(self) -> Mlflow:
        return mlflow()

    @cached_property
    def api(self) -> AirflowApi:
        return airflow_api()

    def mlflow_run(self) -> str:
        """The MLflow run of this DAG run."""
        return self.mlflow.ensure_run(EXPERIMENT_PREFIX + self.model, self.key, self.key.partition("/")[2])

    def keep(self, kind: str, verdict: Verdict, version: int | None = None) -> None:
        """Store a verdict in the plugin's tables."""
        keep_verdict(self.api, self.key, kind, self.model, verdict, version)


def _effective(path: Path, params: Mapping[str, Any]) -> Spec:
    """The spec in the file, with the run's params put in."""
    spec = load(path)
    if problems := check_conf(spec, params):
        raise InputError("; ".join(problems), where="the run's params")
    return apply(spec, params)


def bound_spec(api: AirflowApi, run_key: str, otherwise: Spec) -> Spec:
    """Return the spec that a run is bound to; ``otherwise`` for a run from before these were kept."""
    kept = api.get("/lifecycle/v1/spec", params={"run_key": run_key}, missing_ok=True)
    return otherwise if kept is None else frozen.thaw(kept["spec"])


def own_connection(name: str) -> Connection:
    """One of the platform's own. Raises InputError when it leads elsewhere than the platform was started with."""
    connection = BaseHook.get_connection(name)
    pinned.insist(Settings.load(), name, str(connection.host))
    return connection


def mlflow() -> Mlflow:
    """The MLflow that the connection ``updraft_mlflow`` names."""
    connection = own_connection("updraft_mlflow")
    return Mlflow(str(connection.host), connection.login or "", connection.password or "")


def door(grant: Grant, lifetime_s: float) -> dict[str, str]:
    """What the mlflow package needs in a step's environment: the address of the door that the connection ``updraft_door`` names, and a
    token for this grant, good for ``lifetime_s`` seconds. No password of MLflow's is in it."""
    connection = own_connection("updraft_door")
    token = sign(grant, connection.password or "", time.time(), lifetime_s)
    return {"MLFLOW_TRACKING_URI": str(connection.host), "MLFLOW_TRACKING_TOKEN": token}


def airflow_api() -> AirflowApi:
    """Airflow's REST API and the plugins' beside it, as the connection ``updraft_api`` names it."""
    connection = own_connection("updraft_api")
    return AirflowApi(str(connection.host), connection.login or "", connection.password or "")


def keep_verdict(api: AirflowApi, run_key: str, kind: str, model: str, verdict: Verdict, version: int | None) -> None:
    """Keep a verdict with its evidence. What no database or JSON takes in its texts (of users' data) becomes a replacement character."""
    body = _text_alone(verdict.to_json())
    kept = {"run_key": run_key, "kind": kind, "model": model, "version": version, "decision": verdict.decision, "body": body}
    api.call("PUT", "/lifecycle/v1/verdicts", json=kept)


def _text_alone(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if isinstance(value, Mapping):
        return {_text_alone(name): _text_alone(part) for name, part in value.items()}
    return [_text_alone(part) for part in value] if isinstance(value, list | tuple) else value


@contextmanager
def told() -> Iterator[None]:
    """Turns Updraft's errors into Airflow's: what a retry can't mend fails at once, anything else may be tried again."""
    try:
        yield
    except InputError as error:
        raise AirflowFailException(str(error)) from None
    except UpdraftError as error:
        raise AirflowException(str(error)) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise AirflowException(f"{error.filename or 'a file'}: the disk is full. Make room, then clear the task.") from None
