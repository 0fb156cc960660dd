"""A second address of MLflow's door, at which steps in pods reach it, while the door and MLflow stay on loopback.

An Envoy of its own, so that an address that has gone takes nothing else down. It lets MLflow's REST API through, by that address alone, and
no page, to the door (:mod:`include.door`); whoever comes needs a token of a step's.
"""

from __future__ import annotations

import json
import os
import socket
from ipaddress import ip_address
from typing import Any

from include import atomic
from include.errors import InputError
from include.gateway.gateway import envoy
from include.runtime.settings import Settings
from include.runtime.supervisor import Program

VARIABLE = "UPDRAFT_STEPS_HOST"
CLOSED = "none"
PROGRAM = "mlflow-door"
CONNECT_S = 5
_TYPE = "type.googleapis.com/envoy.extensions.filters"


def address(settings: Settings) -> str:
    """The address of this machine that the door is at: ``UPDRAFT_STEPS_HOST``, kept for later (``none`` forgets it); "" without a door.

    Raises InputError for one that this machine does not have.
    """
    kept = settings.home / "steps-host"
    asked = os.environ.get(VARIABLE)
    if asked is None:
        return kept.read_text().strip() if kept.exists() else ""
    if asked == CLOSED:
        kept.unlink(missing_ok=True)
        return ""
    keep(settings, asked)
    return asked


def keep(settings: Settings, host: str) -> None:
    """Later calls of ``make up`` open the door there as well. Raises InputError for an address that this machine does not have."""
    if not is_here(host):
        raise InputError(
            f"{host!r:.80} is no address of this machine that others can reach.",
            where=VARIABLE,
            remedy="Give one of this machine's addresses (`ip addr`), not 127.0.0.1 and not 0.0.0.0; `none` closes the door.",
        )
    atomic.write(settings.home / "steps-host", f"{host}\n")


def is_here(host: str) -> bool:
    """Whether it is one address of this machine, and not its loopback."""
    try:
        found = ip_address(host)
        if found.is_loopback or found.is_unspecified:
            return False
        with socket.socket(socket.AF_INET6 if found.version == 6 else socket.AF_INET) as probe:
            probe.bind((host, 0))
    except (ValueError, OSError):
        return False
    return True


def url(settings: Settings, host: str) -> str:
    """What steps are told."""
    return f"http://{_authority(settings, host)}"


def program(settings: Settings, host: str) -> Program:
    """The door, as supervisord runs it."""
    text = json.dumps(configuration(settings, host), indent=1)
    path = settings.home / "mlflow" / "door.yaml"
    atomic.write(path, text)
    return Program(
        name=PROGRAM,
        command=envoy(path, concurrency=1),
        directory=settings.home,
        log=settings.logs / f"{PROGRAM}.log",
        listens=(_authority(settings, host),),
        environment={"UPDRAFT_DOOR": _authority(settings, host)},  # another address: another program, which `make up` restarts
        priority=150,
    )


def configuration(settings: Settings, host: str) -> dict[str, Any]:
    """Envoy's. No admin port; models of any size pass in any time."""
    inner = {"socket_address": {"address": settings.host, "port_value": settings.mlflow_door_port}}
    route = {"cluster": "mlflow", "timeout": "0s", "host_rewrite_literal": f"{settings.host}:{settings.mlflow_door_port}"}
    table = {
        "name": "mlflow",
        "virtual_hosts": [
            {
                "name": "mlflow",
                "domains": [_authority(settings, host)],
                "routes": [{"match": {"prefix": prefix}, "route": route} for prefix in ("/api/", "/health")],
            }
        ],
    }
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "mlflow",
        "route_config": table,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}}],
    }
    listener = {
        "name": "steps",
        "address": {"socket_address": {"address": host, "port_value": settings.mlflow_door_port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }
    cluster = {
        "name": "mlflow",
        "type": "STATIC",
        "connect_timeout": f"{CONNECT_S}s",
        "load_assignment": {"cluster_name": "mlflow", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": inner}}]}]},
    }
    return {"node": {"id": PROGRAM, "cluster": "updraft"}, "static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _authority(settings: Settings, host: str) -> str:
    return f"[{host}]:{settings.mlflow_door_port}" if ":" in host else f"{host}:{settings.mlflow_door_port}"
