"""KServe's gRPC service at the gateway: calls of it become the HTTP requests that they stand for, and the answers messages. Pure.

A call comes by HTTP/2 to the public listener, which checks its key and hands its message on to a listener of Envoy's own
(:data:`LISTENER`). That one writes the request of HTTP that a caller would have sent; from there on it is like any other to keys' scopes,
split, copies, prediction log, limits and server, and servers need no port for gRPC. Only :data:`METHODS` are called so.
"""

from __future__ import annotations

from typing import Any

from include.gateway.script import script

Json = dict[str, Any]
SERVICE = "/inference.GRPCInferenceService/"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ModelMetadata", "ModelInfer")
"""What may be called; the last asks for inference."""
LISTENER = "grpc"
"""Envoy's internal listener that messages pass through."""
CLUSTER = "grpc"
NAME, BRIDGE, TRAILERS = "updraft.grpc", "updraft.grpc_bridge", "updraft.grpc_trailers"
"""The filters in Envoy: of the inner listener, and of the public one."""
TYPE = "application/x-protobuf"
"""What the inner listener is sent and answers."""
MESSAGE_HEADER, CODE_HEADER = "x-updraft-grpc-message", "x-updraft-grpc-code"
"""From the inner listener to the outer: what went wrong, in a sentence, and gRPC's code of it."""
INNER_HEADER = "x-updraft-grpc"
"""Marks what has come to the inner listener. Only that one sets it."""
SCOPE = "updraft.grpc"
ANSWER_BYTES = 32 * 1024 * 1024
"""A longer answer can't be turned into a message."""
MOST_AT_ONCE = 4096
_UNKNOWN = (
    f"no such method: callers have {', '.join(METHODS)} of inference.GRPCInferenceService. Streams, the models' repository and shared "
    "memory are not to be had here."
)
_ENCODED = "a message that is compressed is not taken: call without compression_algorithm."
_LUA_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
_BRIDGE_TYPE = "type.googleapis.com/envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig"
_ON: Json = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}


def trailers_filter() -> Json:
    """Return the public listener's filter that ends an answer with gRPC's status, on calls' route only. It stands before the bridge, and
    turns away what is no gRPC."""
    return _lua(TRAILERS, script("grpc_trailers", MESSAGE=MESSAGE_HEADER, CODE=CODE_HEADER)) | {"disabled": True}


def bridge_filter() -> Json:
    """Return Envoy's own filter that takes a call's one message out of its frame and puts the answer into one. It stands last: what the
    gateway itself says behind it would not reach the caller."""
    return {
        "name": BRIDGE,
        "disabled": True,
        "typed_config": {"@type": _BRIDGE_TYPE, "content_type": TYPE, "withhold_grpc_frames": True},
    }


def message_filter(most_bytes: int) -> Json:
    """Return the inner listener's first filter, which makes requests of HTTP of messages, and messages of answers. ``most_bytes``: the
    longest body of a request; a message of numbers and texts may come to many times its own length."""
    words = {"SCOPE": SCOPE, "MESSAGE": MESSAGE_HEADER, "CODE": CODE_HEADER, "TYPE": TYPE, "MOST": most_bytes}
    return _lua(NAME, "\n".join((script("json"), script("protobuf"), script("grpc", **words))))


def routes(counted: Json) -> list[Json]:
    """Return the routes of all that calls itself gRPC; those of the inner listener do not. ``counted``: settings by which a request is
    counted against its key's limit, here and not behind, where no other request would be."""
    name = "grpc-encoding"
    facts = {"filter_metadata": {"updraft": {"kind": "grpc"}}}
    plain = {"name": name, "string_match": {"exact": "identity"}, "invert_match": True}
    compressed = {"prefix": "/", "grpc": {}, "headers": [{"name": name, "present_match": True}, plain]}
    # Not by gRPC's content type: the bridge takes it away, and the route is chosen anew.
    outside = {"name": INNER_HEADER, "present_match": True, "invert_match": True}
    on = {BRIDGE: _ON, TRAILERS: _ON}
    # The inner listener's routes have their own limits of time.
    call = {"route": {"cluster": CLUSTER, "timeout": "0s", "idle_timeout": "0s"}, "metadata": facts}
    # As gRPC has it. What comes by another method is not counted against a key's limit.
    headers = [outside, {"name": ":method", "string_match": {"exact": "POST"}}]
    lookups = {"safe_regex": {"regex": f"{SERVICE}({'|'.join(METHODS[:-1])})"}, "headers": headers}
    return [
        {"match": compressed, "direct_response": _said(_ENCODED), "metadata": facts},
        {"match": lookups, **call, "typed_per_filter_config": on},
        {"match": {"path": SERVICE + METHODS[-1], "headers": headers}, **call, "typed_per_filter_config": on | counted},
        {"match": {"prefix": "/", "grpc": {}}, "direct_response": _said(_UNKNOWN), "metadata": facts},
    ]


def replies(limited: Json, sentence: str) -> list[Json]:
    """Return how the gateway's own words reach callers of gRPC: as they are, and ``sentence`` where the filter ``limited`` holds."""
    calls = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}

    def reply(which: Json, text: str) -> Json:
        return {"filter": which, "body_format_override": {"text_format_source": {"inline_string": text}}}

    return [reply({"and_filter": {"filters": [calls, limited]}}, sentence), reply(calls, "%LOCAL_REPLY_BODY%")]


def mark() -> Json:
    """Return the early mutation of headers by which the inner listener's requests are known."""
    return {"append": {"header": {"key": INNER_HEADER, "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


def cluster() -> Json:
    """Return where calls' messages go: the inner listener."""
    internal = {"envoy_internal_address": {"server_listener_name": LISTENER}}
    most = {"max_connections": MOST_AT_ONCE, "max_pending_requests": MOST_AT_ONCE, "max_requests": MOST_AT_ONCE}
    return {
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": internal}}]}]},
        "circuit_breakers": {"thresholds": [most]},
    }


def _said(sentence: str) -> Json:
    """gRPC's UNIMPLEMENTED, with a sentence."""
    return {"status": 404, "body": {"inline_string": sentence}}


def _lua(name: str, text: str) -> Json:
    return {"name": name, "typed_config": {"@type": _LUA_TYPE, "default_source_code": {"inline_string": text}}}
