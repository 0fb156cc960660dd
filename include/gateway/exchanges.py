"""What callers sent and got, told by Envoy to the prediction log: a Lua filter notes the bodies, a second access log sends them. Pure.

Envoy sends in batches, as OpenTelemetry's log records (OTLP over HTTP) to a Unix socket, out of bounded buffers, and waits for nobody:
where the socket's owner is away or behind, records are dropped and counted. The filter comes by a discovery of its own, as the keys' does;
where no model is logged, it has no functions, and Envoy passes it over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.gateway import at_socket, openai
from include.gateway.rate_limits import CLIENT_HEADER
from include.gateway.script import script

Json = dict[str, Any]
KIND = "exchanges"
NAME = "updraft.exchanges"
"""The filter in Envoy."""
SCOPE = "updraft.exchange"
"""Namespace of what is noted of one exchange."""
DRAWN = "updraft.drawn"
"""Namespace of the mark that one is drawn."""
CLUSTER = "prediction-log"
PATH = "/v1/logs"
MOST_BODY_BYTES = 256 * 1024
"""A longer request or answer is not noted; the exchange is."""
BUFFER_BYTES = 256 * 1024
"""What a thread of Envoy's gathers before it sends."""
FLUSH_S = 0.2
"""... or for how long."""
AT_ONCE = 16
"""Batches under way; more are dropped."""
TIMEOUT_S = 5
MIRROR_HEADER = "x-updraft-mirror"
"""Marks a copy. Only the internal listener sets it; the public one takes it off, as it does with a caller's own x-updraft-client."""
NOTED = ("request", "request_base64", "request_head", "response", "response_base64", "response_head", "response_coding", "cut")
_LUA_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
_LOGGERS = "type.googleapis.com/envoy.extensions.access_loggers"


@dataclass(frozen=True)
class Drawn:
    """Which of a model's requests are told of: this ``share`` of them, and no more than ``per_minute``."""

    share: float
    per_minute: int | None = None


def request_filter(source: Callable[[str], Json]) -> Json:
    """The filter as the listeners name it; what it holds comes from ``source``. Until that was read, nothing is noted."""
    return {"name": NAME, "config_discovery": {"config_source": source(KIND), "type_urls": [_LUA_TYPE], "default_config": _config({})}}


def resource(drawn: Mapping[str, Drawn]) -> Json:
    """Envoy's extension configuration. ``drawn``: by model; those that are not named are not logged."""
    return {"name": NAME, "typed_config": _config(drawn)}


def _config(drawn: Mapping[str, Drawn]) -> Json:
    wanted = {model: plan for model, plan in sorted(drawn.items()) if plan.share > 0}
    rows = ", ".join(f"[{json.dumps(model)}] = {_row(plan)}" for model, plan in wanted.items())
    paths = "{" + ", ".join(f"[{json.dumps(path)}] = true" for path in openai.INFERENCE_PATHS) + "}"
    text = script(
        "exchanges",
        MODELS=rows,
        PATHS=paths,
        MODEL=openai.MODEL_HEADER,
        SCOPE=SCOPE,
        DRAWN=DRAWN,
        MIRROR=MIRROR_HEADER,
        MOST=MOST_BODY_BYTES,
    )
    code = {"inline_string": text if wanted else "-- No model is logged."}
    # The new id is no reason to choose a route anew.
    return {"@type": _LUA_TYPE, "default_source_code": code, "clear_route_cache": False}


def _row(plan: Drawn) -> str:
    return f"{{share = {plan.share!r}" + ("" if plan.per_minute is None else f", most = {plan.per_minute}") + "}"


def access_log() -> Json:
    """The second access log: of the requests that were drawn only."""
    attributes = {
        "id": "%REQ(X-REQUEST-ID)%",
        "time": "%START_TIME(%s.%6f)%",
        "kind": "%METADATA(ROUTE:updraft:kind)%",
        "model": "%METADATA(ROUTE:updraft:model)%",
        "revision": "%METADATA(UPSTREAM_HOST:updraft:revision)%",
        "key": f"%REQ({CLIENT_HEADER})%",
        "path": "%PATH(NQ)%",
        "trace_id": "%TRACE_ID%",
        "status": "%RESPONSE_CODE%",
        "total_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
        **{name: f"%DYNAMIC_METADATA({SCOPE}:{name})%" for name in NOTED},
    }
    drawn = {"filter": DRAWN, "path": [{"key": "drawn"}], "value": {"present_match": True}}
    return {
        "name": "envoy.access_loggers.open_telemetry",
        "filter": {"metadata_filter": {"matcher": drawn, "match_if_key_not_found": False}},
        "typed_config": {
            "@type": f"{_LOGGERS}.open_telemetry.v3.OpenTelemetryAccessLogConfig",
            "log_name": CLUSTER,
            "http_service": {"http_uri": {"uri": f"http://localhost{PATH}", "cluster": CLUSTER, "timeout": f"{TIMEOUT_S}s"}},
            "buffer_size_bytes": BUFFER_BYTES,
            "buffer_flush_interval": f"{FLUSH_S}s",
            "stat_prefix": CLUSTER,
            "disable_builtin_labels": True,
            "attributes": {"values": [{"key": key, "value": {"string_value": text}} for key, text in attributes.items()]},
        },
    }


def cluster(socket: Path) -> Json:
    """Where the records go: whoever listens on the socket."""
    limits = {"max_connections": AT_ONCE, "max_pending_requests": AT_ONCE, "max_requests": AT_ONCE}
    return at_socket.cluster(CLUSTER, str(socket), limits)
