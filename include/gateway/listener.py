"""Envoy's bootstrap and listeners: who may come in, how much they may send, and what is written down about it. Pure."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from include.gateway import budgets, exchanges, grpc, key_filter, openai, predict, tracing
from include.gateway import rate_limits as limits
from include.gateway.exchanges import MIRROR_HEADER
from include.gateway.script import script
from include.runtime.otlp import Receiver
from include.runtime.settings import Settings

Json = dict[str, Any]

MAX_BODY_BYTES = 8 * 1024 * 1024
"""A longer request body is answered with 413 (Triton's own default is 64 MiB; 8 MiB holds a thousand digits as JSON many times over)."""
HEADER_TIMEOUT_S = 10
"""A caller must have sent its headers by then."""
REQUEST_S = 60
"""A caller must have sent its whole body by then, however steadily it comes."""
STREAMS = 100
"""Requests at once on one connection of HTTP/2; more wait."""
WINDOW_BYTES, CONNECTION_WINDOW_BYTES = 64 * 1024, 1024 * 1024
"""What HTTP/2 takes of one body, and of all bodies of a connection, before somebody has read it."""
STREAM_IDLE_S = 60
"""A request on which no byte moves for this long is ended."""
IDLE_S = 300
"""A kept-alive connection without requests is closed after this."""
LOG_FLUSH_MS = 200
"""Access log lines reach the file within this."""
MIRROR_LISTENER = "mirror"
"""Envoy's internal listener through which copies of requests pass, so that they are logged like the originals."""
MODEL_PATH = r"^/v2/models/[^/?]+(/ready|/infer)?(\?.*)?$"
V1 = r"/v1(/[^?]*)?(\?.*)?"

_TOO_LONG = f"the request body is longer than {MAX_BODY_BYTES} bytes"
_ENCODED = "a body that is compressed is not taken: send it as it is, without the header content-encoding."
_TOO_LATE = "the request was not sent in time."
_KSERVE_PATHS = "/v2/health/{live,ready}, /v2/models/<name>[/ready|/infer] and POST /v1/models/<name>:predict"
_OPENAI_PATHS = ", ".join(f"POST {path}" for path in openai.INFERENCE_PATHS) + " and GET /v1/models[/<name>]"
_TOO_OFTEN = (
    f"this key's limit of %RESP({limits.LIMIT_HEADER})% a minute is reached: try again after the seconds of the header retry-after."
)
_NO_ANSWER = "the model did not answer in time."

FILTER = "envoy.filters.http.lua"
"""The name of the filter that reads bodies, by which it finds its part of a route's metadata."""
_LUA = script("bodies", FACTS=openai.FACTS)

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


def bootstrap(settings: Settings, xds: Path) -> Json:
    """Static part: the admin socket, its owner's alone; listeners, clusters and routes come from files under ``xds``."""
    return {
        "node": {"id": "updraft-gateway", "cluster": "updraft"},
        "admin": {"address": {"pipe": {"path": str(settings.gateway_admin), "mode": 0o600}}},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"},
            }
        ],
        "static_resources": {
            "clusters": [exchanges.cluster(settings.prediction_socket), budgets.cluster(settings.budget_socket), *_traces(settings)]
        },
        "dynamic_resources": {"lds_config": file_source(xds, "lds"), "cds_config": file_source(xds, "cds")},
        # Endpoint addresses are literals; nothing here may be overridden by a header or a flag at run time.
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {}}]},
    }


def _traces(settings: Settings) -> list[Json]:
    return [tracing.cluster(Receiver.of(settings.traces))] if settings.traces else []


def file_source(xds: Path, kind: str) -> Json:
    """Envoy reads the file again whenever something is moved into its folder."""
    return {
        "path_config_source": {"path": str(xds / f"{kind}.json"), "watched_directory": {"path": str(xds)}},
        "resource_api_version": "V3",
        "initial_fetch_timeout": "5s",
    }


def listeners(settings: Settings, xds: Path) -> list[Json]:
    """The public listener, and the internal ones: for mirrored requests, and for what is called by gRPC."""
    public = {
        "name": "gateway",
        "address": _address(settings.bind, settings.gateway_port),
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [{"filters": [_connection_manager(settings, xds, "gateway", _called(_public_filters(xds)), _distrust())]}],
    }
    copies = _connection_manager(settings, xds, "mirror", [openai.answer_filter()], _mark_mirrored())
    copies["typed_config"]["preserve_external_request_id"] = True  # the original's, by which the two answers find each other
    mirror = {"name": MIRROR_LISTENER, "internal_listener": {}, "filter_chains": [{"filters": [copies]}]}
    calls = _connection_manager(
        settings, xds, "grpc", [grpc.message_filter(MAX_BODY_BYTES), *_public_filters(xds)], [*_distrust(), grpc.mark()]
    )
    calls["typed_config"]["preserve_external_request_id"] = True  # the public listener's
    messages = {
        "name": grpc.LISTENER,
        "internal_listener": {},
        "per_connection_buffer_limit_bytes": grpc.ANSWER_BYTES,
        "filter_chains": [{"filters": [calls]}],
    }
    return [public, mirror, messages]


def _connection_manager(settings: Settings, xds: Path, name: str, filters: list[Json], mutations: list[Json]) -> Json:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_FILTERS}.router.v3.Router", "suppress_envoy_headers": True},
    }
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": _HCM,
            "stat_prefix": name,
            "codec_type": "AUTO",
            # nginx asks its upstreams so unless it is told otherwise.
            "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "updraft"},
            "rds": {"route_config_name": "gateway", "config_source": file_source(xds, "rds")},
            "early_header_mutation_extensions": [_early(mutations)],
            "http_filters": [*filters, exchanges.request_filter(lambda kind: file_source(xds, kind)), _callers_mistakes(), router],
            "access_log": [_access_log(settings.gateway_log), exchanges.access_log()],
            "local_reply_config": _local_replies(),
            "server_name": "updraft",
            # Callers are never trusted: every x-envoy-* header and request id of theirs is dropped.
            "use_remote_address": True,
            "always_set_request_id_in_response": True,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "request_headers_timeout": f"{HEADER_TIMEOUT_S}s",
            "request_timeout": f"{REQUEST_S}s",
            "http2_protocol_options": {
                "max_concurrent_streams": STREAMS,
                "initial_stream_window_size": WINDOW_BYTES,
                "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
            },
            "stream_idle_timeout": f"{STREAM_IDLE_S}s",
            "common_http_protocol_options": {"idle_timeout": f"{IDLE_S}s"},
            "drain_timeout": "5s",
            **({"tracing": tracing.tracing(Receiver.of(settings.traces), settings.trace_share)} if settings.traces else {}),
        },
    }


def _early(mutations: list[Json]) -> Json:
    kind = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return {"name": "envoy.http.early_header_mutation.header_mutation", "typed_config": {"@type": kind, "mutations": mutations}}


def _distrust() -> list[Json]:
    return [
        {"remove": header} for header in (limits.CLIENT_HEADER, MIRROR_HEADER, predict.SAID_HEADER, grpc.INNER_HEADER, *openai.OWN_HEADERS)
    ]


def _mark_mirrored() -> list[Json]:
    return [{"append": {"header": {"key": MIRROR_HEADER, "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}]


def _public_filters(xds: Path) -> list[Json]:
    return [
        key_filter.request_filter(lambda kind: file_source(xds, kind)),
        {
            "name": "envoy.filters.http.buffer",
            "typed_config": {"@type": f"{_FILTERS}.buffer.v3.Buffer", "max_request_bytes": MAX_BODY_BYTES},
        },
        *openai.request_filters(),
        *limits.request_filters(lambda kind: file_source(xds, kind)),
        openai.refusing_filter(),
        budgets.request_filter(lambda kind: file_source(xds, kind)),
        openai.answer_filter(),
        predict.request_filter(),
    ]


def _called(filters: list[Json]) -> list[Json]:
    """The public filters with those of calls by gRPC: who calls, and whether it may, is known before the message is looked at."""
    return [grpc.trailers_filter(), *filters, grpc.bridge_filter()]


def _callers_mistakes() -> Json:
    """Triton and llama.cpp answer 500 to what they cannot parse; that is the caller's fault, so 400, and no error of the revision."""
    return {
        "name": FILTER,
        # A body's new length is no reason to choose a route anew.
        "typed_config": {"@type": f"{_FILTERS}.lua.v3.Lua", "default_source_code": {"inline_string": _LUA}, "clear_route_cache": False},
    }


def _access_log(path: Path) -> Json:
    """One JSON object a request. Neither keys nor bodies are in it."""
    fields = {
        "time": "%START_TIME(%s.%6f)%",
        "kind": "%METADATA(ROUTE:updraft:kind)%",
        "client": "%REQ(X-UPDRAFT-CLIENT)%",
        "model": "%METADATA(ROUTE:updraft:model)%",
        "fallback": "%METADATA(ROUTE:updraft:fallback)%",
        "revision": "%METADATA(CLUSTER:updraft:revision)%",
        "served_by": "%METADATA(UPSTREAM_HOST:updraft:revision)%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "first_byte_us": "%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%",
        "upstream_us": "%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%",
        "total_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
        **{name: f"%DYNAMIC_METADATA({openai.FACTS}:{name})%" for name in (*openai.ANSWER_FACTS, budgets.HOLD)},
        "content_type": "%RESP(CONTENT-TYPE)%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "trace_id": "%TRACE_ID%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": fields},
        },
    }


def _local_replies() -> Json:
    """What Envoy says itself, as KServe's ``{"error": sentence}`` or in OpenAI's form."""
    return {
        "mappers": [
            *grpc.replies(_with_status(429), _TOO_OFTEN),
            _as_is(_with_status(200)),
            _as_is(_with_header(predict.SAID_HEADER)),
            *_rows_replies(),
            *_openai_replies(),
            *_kserve_replies(),
        ],
        "body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}, "content_type": "application/json"},
    }


def _kserve_replies() -> list[Json]:
    return [
        _reply(404, {"error": "no model of this name is served here: %PATH(NQ)%."}, path=MODEL_PATH),
        _reply(404, {"error": f"no such path: %PATH(NQ)%. Callers have {_KSERVE_PATHS}; language models: {_OPENAI_PATHS}."}),
        *_replies_about_rows(),
    ]


def _rows_replies() -> list[Json]:
    """What stands below /v1 and is none of OpenAI's: a table's predictions."""
    unknown = "no table of this name is served here, or it was not asked by POST: %PATH(NQ)%."
    path = predict.PATHS
    return [_reply(404, {"error": unknown}, path), *_replies_about_rows(path), _reply(None, {"error": "%LOCAL_REPLY_BODY%"}, path)]


def _replies_about_rows(path: str = "") -> list[Json]:
    return [
        _reply(401, {"error": "%LOCAL_REPLY_BODY%: send one as header x-api-key, or as Authorization: Bearer."}, path),
        _reply(403, {"error": "%LOCAL_REPLY_BODY%."}, path),
        _reply(413, {"error": f"{_TOO_LONG}: send fewer rows in a request."}, path),
        _reply(415, {"error": _ENCODED}, path),
        _reply(408, {"error": _TOO_LATE}, path),
        _reply(429, {"error": _TOO_OFTEN}, path),
        _reply(504, {"error": _NO_ANSWER}, path),
    ]


def _openai_replies() -> list[Json]:
    invalid = "invalid_request_error"
    unknown = f"The model `%DYNAMIC_METADATA({openai.FACTS}:model)%` does not exist here; GET /v1/models lists those that do."
    too_often = (
        f"This key's limit of %RESP({limits.LIMIT_HEADER})% a minute is reached; this request counts as "
        f"%DYNAMIC_METADATA({openai.FACTS}:cost)% tokens. Try again after the seconds of the header retry-after."
    )
    return [
        _reply(404, openai.error(unknown, invalid, "model_not_found", "model"), path=f"({'|'.join(openai.INFERENCE_PATHS)})(\\?.*)?"),
        _reply(404, openai.error("no such model: %PATH(NQ)%.", invalid, "model_not_found", "model"), path=r"/v1/models/[^/?]+(\?.*)?"),
        _reply(
            404, openai.error(f"no such path: %PATH(NQ)%. Callers have {_OPENAI_PATHS}; tables: {_KSERVE_PATHS}.", invalid, None), path=V1
        ),
        _reply(401, openai.error("%LOCAL_REPLY_BODY%: send one as Authorization: Bearer.", invalid, "invalid_api_key"), path=V1),
        _reply(403, openai.error("%LOCAL_REPLY_BODY%.", invalid, "key_not_permitted"), path=V1),
        _reply(400, openai.error("%LOCAL_REPLY_BODY%", invalid, None, f"%DYNAMIC_METADATA({openai.FACTS}:param)%"), path=V1),
        _reply(413, openai.error(f"{_TOO_LONG}: send fewer or shorter messages.", invalid, None), path=V1),
        _reply(415, openai.error(_ENCODED, invalid, None), path=V1),
        _reply(408, openai.error(_TOO_LATE, invalid, None), path=V1),
        _reply(429, openai.error(too_often, "requests", "rate_limit_exceeded"), path=V1),
        _reply(504, openai.error(_NO_ANSWER, "server_error", "timeout"), path=V1),
        _reply(None, openai.error("%LOCAL_REPLY_BODY%", "server_error", None), path=V1),
    ]


def _as_is(which: Json) -> Json:
    return {
        "filter": which,
        "body_format_override": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}, "content_type": "application/json"},
    }


def _with_header(name: str) -> Json:
    return {"header_filter": {"header": {"name": name, "present_match": True}}}


def _with_status(status: int) -> Json:
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "updraft.none"}}}}


def _reply(status: int | None, body: Json, path: str = "") -> Json:
    """The body of Envoy's own answers of this status (None: of any) to this path (empty: to any)."""
    by_path = {"header_filter": {"header": {"name": ":path", "string_match": {"safe_regex": {"regex": path}}}}}
    filters = [*([_with_status(status)] if status else []), *([by_path] if path else [])]
    chosen = filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}
    return {"filter": chosen, "body_format_override": {"json_format": body, "content_type": "application/json"}}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def discovery(kind: str, resources: list[Json]) -> Json:
    """A discovery response as Envoy reads it from a file; the same content is the same version."""
    types = {
        "lds": "listener.v3.Listener",
        "cds": "cluster.v3.Cluster",
        "rds": "route.v3.RouteConfiguration",
        **dict.fromkeys((*limits.KINDS, key_filter.KIND, exchanges.KIND, budgets.KIND), "core.v3.TypedExtensionConfig"),
    }
    address = f"type.googleapis.com/envoy.config.{types[kind]}"
    text = json.dumps(resources, sort_keys=True).encode()
    return {
        "version_info": hashlib.sha256(text).hexdigest()[:16],
        "type_url": address,
        "resources": [{"@type": address, **resource} for resource in resources],
    }
