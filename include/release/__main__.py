"""``python -m include.release rollback MODEL [VERSION] [--reason WORDS]``: production back by hand, through the model's rollback DAG.

``python -m include.release retire MODEL``: out of production altogether.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from include.errors import ComponentError, InputError, spoken
from include.gateway.gateway import Gateway
from include.registry.mlflow import CHAMPION, PREVIOUS, Mlflow
from include.release.production import Production
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, SERVICE, Credentials
from include.runtime.settings import Settings
from include.runtime.whose import insist_own
from include.serving.revision import RevisionState
from include.spec.problem import nearest

WAIT_S = 120
DRAIN_S = 30.0
"""So long requests under way may take to end when a model is retired."""
SHOWN = 20
"""Versions that a message names."""


@spoken
def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m include.release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    back = commands.add_parser("rollback", help="production back to the version before, or to VERSION")
    back.add_argument("model")
    back.add_argument("version", nargs="?", type=int)
    back.add_argument("--reason", default="", help="why, for the record")
    commands.add_parser("retire", help="the model out of production; its versions stay registered").add_argument("model")
    arguments = parser.parse_args()
    if arguments.command == "retire":
        print(retire(arguments.model))
    else:
        print(rollback(arguments.model, arguments.version, arguments.reason))
    return 0


def retire(model: str) -> str:
    """Take a model out of production on this machine's gateway; a sentence that says what ended."""
    settings = Settings.load()
    insist_own(settings, settings.airflow_port, settings.mlflow_port)
    credentials = Credentials.load(settings.home)
    mlflow = Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password)
    _check(model, mlflow, settings)
    api = AirflowApi(settings.airflow_url, SERVICE, credentials.airflow_passwords[SERVICE])

    def record(version: int, state: RevisionState, message: str) -> None:
        body = {"model": model, "version": version, "state": state.value, "message": message}
        api.call("PUT", "/lifecycle/v1/revisions", json=body)

    ended = Production(model, settings, mlflow, record).retire(DRAIN_S)
    ran = f"version{'s' if len(ended) > 1 else ''} {', '.join(map(str, ended))} stopped" if ended else "nothing of it ran"
    return f"{model} is out of production: {ran}. Its versions stay registered in MLflow."


def _check(model: str, mlflow: Mlflow, settings: Settings) -> None:
    """InputError for a model that neither has a folder nor is known to the gateway or the registry."""
    names = sorted({path.parent.name for path in settings.models.glob("*/model.yaml")} | set(Gateway(settings).models()))
    if not model or not mlflow.versions(model):
        check_model(model, names)


def check_model(model: str, known: Sequence[str]) -> None:
    """InputError that names the models there are, for one that is none of them. Pure."""
    if model in known:
        return
    near = nearest(model, known)
    what = f"there is no model {model!r}." if model else "no model is named."
    raise InputError(what, where="MODEL", remedy=f"{f'Did you mean {near}? ' if near else ''}Known: {', '.join(known) or 'none'}.")


def check_version(model: str, version: int, known: Sequence[int]) -> None:
    """InputError that names the versions there are (newest first), for one that is none of them. Pure."""
    if version not in known:
        shown = ", ".join(map(str, known[:SHOWN])) + (", ..." if len(known) > SHOWN else "")
        raise InputError(f"{model} has no version {version}.", where="VERSION", remedy=f"Registered, newest first: {shown or 'none'}.")


def rollback(model: str, version: int | None, reason: str = "") -> str:
    """Run the rollback DAG and wait for it; a sentence that says what serves now."""
    settings = Settings.load()
    insist_own(settings, settings.airflow_port, settings.mlflow_port)
    credentials = Credentials.load(settings.home)
    mlflow = Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password)
    _check(model, mlflow, settings)
    if version is not None:
        check_version(model, version, [int(row["version"]) for row in mlflow.versions(model)])
    aliases = mlflow.aliases(model)
    if CHAMPION not in aliases:
        raise InputError("has nothing in production.", where=model, remedy="Run its lifecycle first.")
    if version is None and PREVIOUS not in aliases:
        remedy = f"Name a version to return to: make rollback MODEL={model} VERSION=..."
        raise InputError("no version was champion before the present one.", where=model, remedy=remedy)
    api = AirflowApi(settings.airflow_url, ADMIN, credentials.airflow_passwords[ADMIN])
    dag_id = f"{model}_rollback"
    run_id = api.trigger(dag_id, ({} if version is None else {"version": version}) | ({"reason": reason} if reason else {}))
    state: dict[str, str] = {}
    for state in api.follow(dag_id, run_id, timeout_s=WAIT_S, poll_s=0.3):
        print(f"\r  {dag_id}: {state['']}   ", end="", flush=True)
    print()
    page = f"{settings.airflow_url}/dags/{dag_id}/runs/{run_id}"
    if state[""] != "success":
        raise ComponentError("the rollback failed.", where=dag_id, remedy=f"See {page}")
    done: dict[str, Any] = api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/return_to/xcomEntries/return_value")["value"]
    words = "serves already: nothing to do." if done.get("nothing_to_do") else "serves now."
    return f"Version {done['version']} of {model} {words} See {page}"


if __name__ == "__main__":
    sys.exit(main())
