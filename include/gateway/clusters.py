"""The routing table as Envoy clusters: one a revision, one for each "this revision, and should it be dead, that one". Pure."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from include.gateway import at_socket, grpc
from include.gateway.endpoint import Endpoint, Replica, cluster_name
from include.gateway.listener import MIRROR_LISTENER
from include.gateway.table import Split, Table, Tap
from include.runtime.revision_key import HEADER
from include.spec.serve import Protocol

Json = dict[str, Any]

HEALTH_INTERVAL_S = 1.0
"""A revision is asked this often whether it is ready; two misses and it loses its traffic."""
HEALTH_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_S = 1.0
UPSTREAM_IDLE_S = 30
"""Kept-alive connections to a revision are closed after this, before the server could close them under a request."""
MAX_PENDING = 4096
"""Requests to one revision that may wait or run at once; more are answered with 503."""
PANIC_PERCENT = 1
"""Below so many percent of healthy servers Envoy asks all: of any usual number, when none is healthy."""
TAPPED_AT_ONCE = 32
"""Copies under way to a tap; more are dropped."""
MIRROR_CLUSTER = "mirror"
# llama.cpp closes a connection after a streamed answer without a word: a request that was already on its way there would be lost.
_IDLE: Json = {"idle_timeout": f"{UPSTREAM_IDLE_S}s"}
_KEPT: dict[Protocol, Json] = {"kserve": _IDLE, "openai": {"max_requests_per_connection": 1}, "own": _IDLE}
_READY: dict[Protocol, str] = {"kserve": "/v2/models/{model}/ready", "openai": "/health", "own": "/"}
"""Of revisions that were known before they said it themselves."""


def clusters(table: Table, key: Callable[[Endpoint, int], str]) -> list[Json]:
    """All clusters that the table's routes name, and one for every revision, in a fixed order. ``key``: of the port of a revision's
    server of a number."""
    alone = [_revision(endpoint, key) for _, endpoint in sorted(table.endpoints.items())]
    backed = [_backed(model, revision, others) for model, split in sorted(table.splits.items()) for revision, others in standins(split)]
    taps = [_tap(tap_name(model), split.tap) for model, split in sorted(table.splits.items()) if split.tap]
    return [*alone, *backed, *taps, _mirror(), grpc.cluster()]


def tap_name(model: str) -> str:
    """The cluster of a model's tap: no revision can have this name."""
    return f"{model}.tap"


def standins(split: Split) -> list[tuple[str, tuple[str, ...]]]:
    """Each live revision of a split with those that take its requests should it be dead: the other live ones, the heaviest first."""
    by_weight = sorted(split.weights, key=lambda revision: (-split.weights[revision], revision))
    return [(revision, tuple(other for other in by_weight if other != revision)) for revision in split.weights if len(split.weights) > 1]


def _server(endpoint: Endpoint, server: Replica, key: str) -> Json:
    """Answers of all servers of a revision are the revision's: no trial and no watch tells them apart."""
    address = {"socket_address": {"address": server.host, "port_value": server.port}}
    return {"endpoint": {"address": address}, "metadata": _facts(revision=endpoint.revision, key=key)}


def _revision(endpoint: Endpoint, key: Callable[[Endpoint, int], str]) -> Json:
    hosts = [_server(endpoint, server, key(endpoint, server.number)) for server in endpoint.servers]
    addresses = all(_is_address(server.host) for server in endpoint.servers)
    # With several, a dead one's part goes to those that live, unless all seem dead. What has least under way is asked first.
    several = {"lb_policy": "LEAST_REQUEST", "common_lb_config": {"healthy_panic_threshold": {"value": PANIC_PERCENT}}}
    limits = {"max_connections": 1024, "max_pending_requests": MAX_PENDING, "max_requests": MAX_PENDING, "max_retries": MAX_PENDING}
    return {
        "name": endpoint.cluster,
        **({"type": "STATIC"} if addresses else {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}),
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        "metadata": _facts(model=endpoint.model, revision=endpoint.revision, endpoint=endpoint.to_json()),
        "load_assignment": {"cluster_name": endpoint.cluster, "endpoints": [{"lb_endpoints": hosts}]},
        **(several if len(hosts) > 1 else {}),
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": _protocol(common_http_protocol_options=_KEPT[endpoint.protocol]),
        "health_checks": [
            {
                "timeout": f"{HEALTH_TIMEOUT_S}s",
                "interval": f"{HEALTH_INTERVAL_S}s",
                # Envoy's default asks idle clusters once a minute only.
                "no_traffic_interval": f"{HEALTH_INTERVAL_S}s",
                "no_traffic_healthy_interval": f"{HEALTH_INTERVAL_S}s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": endpoint.health or _READY[endpoint.protocol].format(model=endpoint.model)},
            }
        ],
        "outlier_detection": {
            "interval": "0.5s",
            "base_ejection_time": "1s",
            "max_ejection_time": "5s",
            "max_ejection_percent": 100,
            # A model's 500s are for the judge: ejecting for them would let one caller's bad requests empty a revision.
            # A revision alone in its split is never without requests (Envoy's panic routing).
            "enforcing_consecutive_5xx": 0,
            "consecutive_gateway_failure": 5,
            "enforcing_consecutive_gateway_failure": 100,
            "enforcing_success_rate": 0,
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 3,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
        },
    }


def _protocol(**options: Any) -> Json:
    """How a cluster's servers are spoken to: each is shown its own key, also when it stands in for another."""
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    filters = "type.googleapis.com/envoy.extensions.filters.http"
    header = {"key": HEADER, "value": "%UPSTREAM_METADATA(updraft:key)%"}
    shown = {"request_mutations": [{"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}]}
    return {
        kind: {
            "@type": f"type.googleapis.com/{kind}",
            "explicit_http_config": {"http_protocol_options": {}},
            "http_filters": [
                {
                    "name": "envoy.filters.http.header_mutation",
                    "typed_config": {"@type": f"{filters}.header_mutation.v3.HeaderMutation", "mutations": shown},
                },
                {
                    "name": "envoy.filters.http.upstream_codec",
                    "typed_config": {"@type": f"{filters}.upstream_codec.v3.UpstreamCodec"},
                },
            ],
            **options,
        }
    }


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _backed(model: str, revision: str, others: tuple[str, ...]) -> Json:
    """Requests go to the first of these clusters that is alive, and a retry to the next one."""
    return {
        "name": cluster_name(model, revision, others),
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        "lb_policy": "CLUSTER_PROVIDED",
        "metadata": _facts(model=model, revision=revision),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": [cluster_name(model, name) for name in (revision, *others)],
            },
        },
        "typed_extension_protocol_options": _protocol(),
        "circuit_breakers": {
            "thresholds": [{"max_requests": MAX_PENDING, "max_pending_requests": MAX_PENDING, "max_retries": MAX_PENDING}]
        },
    }


def _mirror() -> Json:
    internal = {"envoy_internal_address": {"server_listener_name": MIRROR_LISTENER}}
    return {
        "name": MIRROR_CLUSTER,
        "type": "STATIC",
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        "load_assignment": {"cluster_name": MIRROR_CLUSTER, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": internal}}]}]},
    }


def _tap(name: str, tap: Tap) -> Json:
    """Whoever listens on the socket; nobody waits for its answers, and with nobody there the copies are lost."""
    return at_socket.cluster(name, tap.socket, {"max_requests": TAPPED_AT_ONCE, "max_pending_requests": TAPPED_AT_ONCE})


def _facts(**facts: Any) -> Json:
    return {"filter_metadata": {"updraft": facts}}
