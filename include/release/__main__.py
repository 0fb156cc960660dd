"""``python -m include.release rollback MODEL [VERSION] [--reason WORDS]``: production back by hand, through the model's rollback DAG."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from include.errors import ComponentError, InputError, UpdraftError
from include.registry.mlflow import CHAMPION, PREVIOUS, Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings

WAIT_S = 120


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m include.release", description=__doc__)
    parser.add_argument("command", choices=("rollback",))
    parser.add_argument("model")
    parser.add_argument("version", nargs="?", type=int)
    parser.add_argument("--reason", default="", help="why, for the record")
    arguments = parser.parse_args()
    try:
        print(rollback(arguments.model, arguments.version, arguments.reason))
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1
    return 0


def rollback(model: str, version: int | None, reason: str = "") -> str:
    """Run the rollback DAG and wait for it; a sentence that says what serves now."""
    settings = Settings.load()
    if not model:
        raise InputError("no model is named.", where="make rollback", remedy="make rollback MODEL=digits")
    credentials = Credentials.load(settings.home)
    aliases = Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password).aliases(model)
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
