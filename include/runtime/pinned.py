"""Where the platform's own connections led when it was started: what carries its secrets is sent nowhere else.

An admin may edit every connection of Airflow's, on a page that shows no password. Whoever pointed ``updraft_mlflow`` elsewhere, or took
over an admin's session, would be sent MLflow's password at the next report. The addresses are kept in the platform's home, which is for its
owner to change (`airflow_settings.yaml` and `make up`). Where no platform has written any (Airflow in a cluster, whose connections are its
deployment's), nothing is pinned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from include import atomic
from include.errors import InputError
from include.runtime.settings import Settings

FILE = "addresses.json"
PREFIX = "updraft_"
"""Begins the names of the platform's own connections."""
DOOR = "updraft_kubernetes, extra: steps.mlflow"
"""The one address that stands in a connection's extra."""


def pin(settings: Settings, connections: Iterable[Mapping[str, Any]]) -> None:
    """Keep where the platform's own among these (entries of `airflow_settings.yaml`) lead."""
    found = {str(entry["conn_id"]): str(entry.get("conn_host") or "") for entry in connections}
    atomic.write(settings.home / FILE, json.dumps({name: host for name, host in found.items() if name.startswith(PREFIX)}, indent=1))


def pin_door(settings: Settings, extra: Mapping[str, Any]) -> None:
    """Keep the address of MLflow's door that pods are given, ``steps.mlflow`` in the ``extra`` of the connection ``updraft_kubernetes``.

    Pods send their tokens there. Empty where the connection names none."""
    steps = extra.get("steps")
    address = str(steps.get("mlflow") or "") if isinstance(steps, dict) else ""
    known = json.loads((settings.home / FILE).read_text())
    atomic.write(settings.home / FILE, json.dumps(known | {DOOR: address}, indent=1))


def insist(settings: Settings, name: str, host: str) -> str:
    """Return ``host``, where the connection ``name`` leads now. Raises InputError when the platform was started with another."""
    try:
        known = json.loads((settings.home / FILE).read_text()).get(name, host)
    except FileNotFoundError:
        return host
    if host != known:
        raise InputError(
            f"it leads to {host!r:.200}, and the platform was started with {known!r:.200}: no password is sent there.",
            where=f"connection {name}",
            remedy="Set it back; for another address change airflow_settings.yaml and run `make up`."
            if name != DOOR
            else "Set it back, or run `make up`, which takes the address that it finds.",
        )
    return host
