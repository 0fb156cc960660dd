"""How much a key may ask in a minute: requests, and tokens of language models. Kept in ``limits.json``, enforced by Envoy itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import InputError
from include.gateway import openai
from include.gateway.credentials import PROBE_CLIENT
from include.gateway.script import script

Json = dict[str, Any]

KINDS = ("requests", "tokens")
"""What is counted, each by a filter and in a file of its own."""
EVERYBODY = "*"
"""Stands for every key that is not named; the platform's own is never meant by it."""
MOST = 1_000_000_000
CLIENT_HEADER = "x-updraft-client"
LIMIT_HEADER = "x-updraft-limit"
"""On a refusal: the limit that was reached, `requests` or `tokens`."""

ASKS = "asks"
"""What Envoy calls a request that is counted."""

_COST, _TELL = "updraft.cost", "updraft.tell_limit"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
_BUCKET = f"{_FILTERS}.local_ratelimit.v3.LocalRateLimit"
NAME = "updraft.limit_{}"
"""A kind's filter in Envoy."""


@dataclass(frozen=True)
class Limit:
    """Requests and tokens a minute; None is no limit."""

    requests: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        for kind, value in asdict(self).items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST):
                raise InputError(f"{value!r} {kind} a minute is no limit.", where="gateway: limits", remedy=f"Use 1 to {MOST}.")

    def __bool__(self) -> bool:
        return self.requests is not None or self.tokens is not None

    def said(self) -> str:
        parts = [f"{value} {kind}" for kind, value in asdict(self).items() if value is not None]
        return f"{' and '.join(parts)} a minute" if parts else "no limit"


Limits = Mapping[str, Limit]


def read(path: Path) -> dict[str, Limit]:
    """Limits by client name; none where there is no such file. An InputError names what is wrong with it."""
    try:
        data = json.loads(path.read_text())
        return {client: Limit(**fields) for client, fields in data.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"holds no limits ({error}).", where=str(path), remedy='Write {"<client>": {"requests": 60, "tokens": 20000}}, or remove it.'
        ) from error


def write(path: Path, limits: Limits) -> None:
    """Keep these limits; clients without one are left out."""
    atomic.write(path, json.dumps({client: asdict(limit) for client, limit in sorted(limits.items()) if limit}, indent=1))


def resolved(limits: Limits, clients: Mapping[str, str]) -> dict[str, Limit]:
    """The limit of each client that has one. An InputError for a name that has no key."""
    unknown = sorted(set(limits) - set(clients) - {EVERYBODY})
    if unknown:
        known = ", ".join([*sorted(clients), f"{EVERYBODY} (all others)"])
        raise InputError(f"no key is {unknown[0]!r}'s.", where="gateway: limits", remedy=f"Known: {known}.")
    others = limits.get(EVERYBODY, Limit())
    found = {client: limits.get(client, Limit() if client == PROBE_CLIENT else others) for client in clients}
    return {client: limit for client, limit in sorted(found.items()) if limit}


def request_filters(source: Callable[[str], Json]) -> list[Json]:
    """Envoy's filters, off but on routes with :func:`on`. The body must have been read before.

    Limits come from the ``source`` of each of :data:`KINDS`, a discovery of their own: a change holds from the next request on, on
    whichever connection, and the rest of the listener stays.
    """
    buckets = [{"name": NAME.format(kind), "disabled": True, "config_discovery": _discovery(kind, source(kind))} for kind in KINDS]
    return [_lua(_TELL, _TELL_LUA), _lua(_COST, _COST_LUA), *buckets]


def resource(kind: str, limits: Limits) -> Json:
    """What the filter of one of :data:`KINDS` is to do with these (:func:`resolved`) limits: Envoy's extension configuration.

    Token buckets hold a minute's worth and fill evenly. They are this Envoy's, shared by its threads, and full again when limits change.
    """
    return {"name": NAME.format(kind), "typed_config": _bucket(kind, {client: getattr(limit, kind) for client, limit in limits.items()})}


def on() -> Json:
    """Settings of the route that a request has until its body is read (``typed_per_filter_config``)."""
    return {name: openai.ON for name in (_TELL, _COST, *map(NAME.format, KINDS))}


def on_rows() -> Json:
    """Settings of a route to a model that knows no tokens: its requests are counted with the others."""
    return {name: openai.ON for name in (_TELL, NAME.format("requests"))}


_COST_LUA = script("cost", FACTS=openai.FACTS, UNSAID=openai.UNSAID_TOKENS, BYTES=openai.BYTES_PER_TOKEN, MOST=MOST)


_TELL_LUA = script("retry_after", FACTS=openai.FACTS, LIMIT=LIMIT_HEADER)


def _discovery(kind: str, source: Json) -> Json:
    """Nobody is limited until the limits have been read, should that ever fail."""
    return {"config_source": source, "type_urls": [_BUCKET], "default_config": _bucket(kind, {})}


def _bucket(kind: str, limits: Mapping[str, int | None]) -> Json:
    """One bucket a client that has a limit of this kind; who has none passes. What is looked up (GET) is not counted."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    asks = {"descriptor_value": ASKS, "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]}
    action: Json = {
        "actions": [{"request_headers": {"header_name": CLIENT_HEADER, "descriptor_key": "client"}}, {"header_value_match": asks}]
    }
    if kind == "tokens":
        action["hits_addend"] = {"format": f"%DYNAMIC_METADATA({openai.FACTS}:cost)%"}
    return {
        "@type": _BUCKET,
        "stat_prefix": f"limit_{kind}",
        "filter_enabled": always,
        "filter_enforced": always,
        "rate_limits": [action],
        "descriptors": [
            {
                "entries": [{"key": "client", "value": client}, {"key": "header_match", "value": ASKS}],
                "token_bucket": {"max_tokens": most, "tokens_per_fill": most, "fill_interval": "60s"},
            }
            for client, most in limits.items()
            if most is not None
        ],
        "rate_limited_as_resource_exhausted": True,  # to callers of gRPC
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "response_headers_to_add": [
            {"header": {"key": LIMIT_HEADER, "value": kind}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        ],
    }


def _lua(name: str, script: str) -> Json:
    config = {"@type": f"{_FILTERS}.lua.v3.Lua", "default_source_code": {"inline_string": script}}
    return {"name": name, "disabled": True, "typed_config": config}
