"""Envoy's filter that knows callers by their keys: a Lua script that holds the keys' hashes, scopes and ends. Pure.

Envoy's own ``api_key_auth`` takes keys as they are, in a file that everybody reads who may read its configuration, and knows no scopes. The
script hashes what comes (FIPS 180-4) and looks it up; a key that was good is known again without hashing. It comes by a discovery of its
own: a change is in force with the next request, and the listener with its connections stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from include.gateway.credentials import PROBE_CLIENT
from include.gateway.grpc import SERVICE
from include.gateway.keys import VERBS, Key, digest
from include.gateway.openai import INFERENCE_PATHS, SCOPE
from include.gateway.rate_limits import CLIENT_HEADER
from include.gateway.script import script

Json = dict[str, Any]
KIND = "keys"
NAME = "updraft.keys"
"""The filter in Envoy."""
MOST_CHARACTERS = 512
"""A longer key is none."""
_LUA_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"

_SHA256 = script("sha256")


def request_filter(source: Callable[[str], Json]) -> Json:
    """The filter as the listener names it; what it holds comes from ``source``. Until that was read, nobody is let in."""
    return {
        "name": NAME,
        "config_discovery": {"config_source": source(KIND), "type_urls": [_LUA_TYPE], "default_config": _config({}, {}, (), ())},
    }


def resource(platform: Mapping[str, str], keys: Mapping[str, Key], counted: Collection[str] = (), models: Collection[str] = ()) -> Json:
    """Envoy's extension configuration. ``platform``: the platform's own callers and their keys, good for everything.

    ``counted``: callers whose tokens are under a budget: they may not ask on a server's own paths, where nobody counts tokens. Nor may
    anybody ask so of ``models`` that have a budget.
    """
    return {"name": NAME, "typed_config": _config(platform, keys, counted, models)}


def _config(platform: Mapping[str, str], keys: Mapping[str, Key], counted: Collection[str], models: Collection[str]) -> Json:
    rows = {digest(secret): _row(client) for client, secret in platform.items()}
    for name, key in keys.items():
        rows |= {hashed: _row(name, key, ends) for hashed, ends in key.accepted()}
    table = ",\n".join(f'["{hashed}"] = {row}' for hashed, row in sorted(rows.items()))
    paths = ", ".join(f"[{json.dumps(path)}] = true" for path in INFERENCE_PATHS)
    door = script(
        "keys",
        MOST=MOST_CHARACTERS,
        CLIENT=CLIENT_HEADER,
        SCOPE=SCOPE,
        PATHS=paths,
        OWN=PROBE_CLIENT,
        COUNTED=_set(counted),
        MODELS=_set(models),
        SERVICE=SERVICE.replace(".", "%."),
    )
    return {"@type": _LUA_TYPE, "default_source_code": {"inline_string": f"{_SHA256}\nlocal keys = {{\n{table}\n}}\n{door}"}}


def _set(names: Collection[str]) -> str:
    return ", ".join(f"[{json.dumps(name)}] = true" for name in sorted(names))


def _row(client: str, key: Key | None = None, ends: float | None = None) -> str:
    """A row of the script's table. Names have been checked; JSON's quotes are Lua's."""
    parts = [f"client = {json.dumps(client)}", *(f"{verb} = true" for verb in (key.verbs if key else VERBS))]
    if key and key.models:
        parts.append(f"models = {{{', '.join(f'[{json.dumps(model)}] = true' for model in key.models)}}}")
        parts.append(f"listed = {json.dumps(',' + ','.join(key.models) + ',')}")
    if ends is not None:
        parts.append(f"ends = {ends:.0f}")
    return "{" + ", ".join(parts) + "}"
