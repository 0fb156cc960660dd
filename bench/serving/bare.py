"""An Envoy without any filter of ours: the gateway's own listener and cluster, its filters, its access log and its rules left out."""

from __future__ import annotations

import copy
import json
from typing import Any

from bench.serving.stage import BenchPlatform
from include.gateway.gateway import envoy
from include.gateway.listener import listeners
from include.runtime.supervisor import Program

NAME = "bare-envoy"
OFFSET = 62
OURS = ("rds", "early_header_mutation_extensions", "access_log", "local_reply_config", "tracing")
"""Fields of the gateway's connection manager that are left out, with all its filters but the router."""


def start(platform: BenchPlatform, cluster: str) -> int:
    """Start it before the revision's cluster of that name; the port that it listens at."""
    settings = platform.settings
    port = settings.port_base + OFFSET
    xds = settings.envoy / "xds"
    known = json.loads((xds / "cds.json").read_text())["resources"]
    own = [resource for resource in known if resource["name"] == cluster]
    folder = settings.home / NAME
    folder.mkdir(exist_ok=True)
    (folder / "bootstrap.yaml").write_text(json.dumps(bootstrap(listeners(settings, xds)[0], own[0], port)))
    log = settings.logs / f"{NAME}.log"
    platform.supervisor.start_program(Program(NAME, envoy(folder / "bootstrap.yaml", 2), folder, log))
    return port


def bootstrap(gateway: dict[str, Any], cluster: dict[str, Any], port: int) -> dict[str, Any]:
    """Return what an Envoy starts with that passes all requests at ``port`` to one cluster. Pure."""
    listener, cluster = copy.deepcopy(gateway), {name: value for name, value in cluster.items() if name != "@type"}
    listener["address"]["socket_address"]["port_value"] = port
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    for name in OURS:
        manager.pop(name, None)
    manager["http_filters"] = [one for one in manager["http_filters"] if one["name"] == "envoy.filters.http.router"]
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster["name"], "timeout": "15s"}}
    manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
    return {
        "node": {"id": NAME, "cluster": "bench"},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
