"""Traces of callers' requests: Envoy sends its spans to an OTLP receiver, and hands the trace on to the server that answers. Pure.

A caller's own trace (the header `traceparent`) is gone on with. Envoy waits for nobody: where the receiver is away, spans are dropped.
"""

from __future__ import annotations

from typing import Any

from include.runtime.otlp import Receiver

Json = dict[str, Any]
CLUSTER = "traces"
SERVICE = "updraft-gateway"
TIMEOUT_S = 1
_TAGS = {"updraft.model": ("route", "model"), "updraft.kind": ("route", "kind"), "updraft.revision": ("cluster", "revision")}
"""Tags of a span: what has them among Envoy's own metadata, and their names there."""


def cluster(receiver: Receiver) -> Json:
    """Return Envoy's cluster for it."""
    address = {"socket_address": {"address": receiver.host, "port_value": receiver.port}}
    return {
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": f"{TIMEOUT_S}s",
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }


def tracing(receiver: Receiver, share: float) -> Json:
    """Return the connection manager's part: this ``share`` of the requests without a trace of their own gets one."""
    uri = {"uri": receiver.url, "cluster": CLUSTER, "timeout": f"{TIMEOUT_S}s"}
    return {
        "random_sampling": {"value": 100 * share},
        "spawn_upstream_span": True,
        "custom_tags": [_tag(name, *where) for name, where in _TAGS.items()],
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "http_service": {"http_uri": uri},
                "service_name": SERVICE,
            },
        },
    }


def _tag(name: str, kind: str, key: str) -> Json:
    return {"tag": name, "metadata": {"kind": {kind: {}}, "metadata_key": {"key": "updraft", "path": [{"key": key}]}}}
