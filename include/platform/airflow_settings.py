"""Applies `airflow_settings.yaml` (Astronomer's format: connections, pools, variables) to a running Airflow.

One addition to the format: ``$NAME`` or ``${NAME}`` in a value is replaced from the environment or the generated credentials, so that
no secret has to stand in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

from include.errors import InputError
from include.runtime.airflow_api import AirflowApi

CONNECTION = {
    "conn_type": "conn_type",
    "conn_host": "host",
    "conn_schema": "schema",
    "conn_login": "login",
    "conn_password": "password",
    "conn_port": "port",
    "conn_extra": "extra",
}


def read(path: Path, values: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The sections ``connections``, ``pools`` and ``variables`` with their values filled in; entries without an id are left out.

    Raises InputError naming the file and the field for anything that is not of the format.
    """
    try:
        document = yaml.safe_load(path.read_text()) or {}
        airflow = document["airflow"] or {}
    except FileNotFoundError:
        return {"connections": [], "pools": [], "variables": []}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"not an Airflow settings file ({error!r}).", where=str(path), remedy="Its top key is `airflow`.") from None
    keys = {"connections": "conn_id", "pools": "pool_name", "variables": "variable_name"}
    return {section: _entries(airflow.get(section) or [], key, values, f"{path}: {section}") for section, key in keys.items()}


def _entries(entries: Any, key: str, values: Mapping[str, str], where: str) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("must be a list of mappings.", where=where)
    return [{name: _fill(value, values, f"{where}.{name}") for name, value in entry.items()} for entry in entries if entry.get(key)]


def _fill(value: Any, values: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {name: _fill(part, values, where) for name, part in value.items()}
    if not isinstance(value, str) or "$" not in value:
        return value
    try:
        return Template(value).substitute(values)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{value!r} names an unknown value ({error}).", where=where, remedy=f"Known: {', '.join(sorted(values))}."
        ) from None


def apply(api: AirflowApi, settings: Mapping[str, list[dict[str, Any]]]) -> None:
    """Create or update every connection, pool and variable. Safe to repeat."""
    for entry in settings["connections"]:
        body = {ours: entry[theirs] for theirs, ours in CONNECTION.items() if entry.get(theirs) not in (None, "")}
        if isinstance(body.get("extra"), dict):
            body["extra"] = json.dumps(body["extra"])
        if "port" in body:
            body["port"] = int(body["port"])
        _upsert(api, "connections", "connection_id", str(entry["conn_id"]), body)
    for entry in settings["pools"]:
        body = {"slots": int(entry.get("pool_slot", 1)), "description": entry.get("pool_description") or "", "include_deferred": False}
        _upsert(api, "pools", "name", str(entry["pool_name"]), body)
    for entry in settings["variables"]:
        _upsert(api, "variables", "key", str(entry["variable_name"]), {"value": entry.get("variable_value")})


def _upsert(api: AirflowApi, section: str, id_field: str, identity: str, body: dict[str, Any]) -> None:
    path = f"/api/v2/{section}"
    if api.get(f"{path}/{identity}", missing_ok=True) is None:
        api.post(path, {id_field: identity, **body})
    else:
        mask = ",".join(body)
        extra = {id_field: identity} if section != "pools" else {"pool": identity}
        api.call("PATCH", f"{path}/{identity}", params={"update_mask": mask}, json={**extra, **body})
