"""Envoy's filter that knows callers by their keys: a Lua script that holds the keys' hashes, scopes and ends. Pure.

Envoy's own ``api_key_auth`` takes keys as they are, in a file that everybody reads who may read its configuration, and knows no scopes. The
script hashes what comes (FIPS 180-4) and looks it up; a key that was good is known again without hashing. It comes by a discovery of its
own: a change is in force with the next request, and the listener with its connections stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from include.gateway.keys import VERBS, Key, digest
from include.gateway.openai import INFERENCE_PATHS, SCOPE
from include.gateway.rate_limits import CLIENT_HEADER

Json = dict[str, Any]
KIND = "keys"
NAME = "updraft.keys"
"""The filter in Envoy."""
MOST_CHARACTERS = 512
"""A longer key is none."""
_LUA_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"

_SHA256 = r"""
local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local lshift, rshift, ror, tobit, tohex = bit.lshift, bit.rshift, bit.ror, bit.tobit, bit.tohex
local constants = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
local w = {}
local function sha256(text)
  local bits = #text * 8
  local length = string.char(0, 0, 0, 0, 0, 0, band(rshift(bits, 8), 255), band(bits, 255))
  text = text .. "\128" .. string.rep("\0", (55 - #text) % 64) .. length
  local s = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
  for at = 1, #text, 64 do
    for i = 0, 15 do
      local first, second, third, fourth = string.byte(text, at + i * 4, at + i * 4 + 3)
      w[i + 1] = bor(lshift(first, 24), lshift(second, 16), lshift(third, 8), fourth)
    end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      local low = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
      local high = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
      w[i] = tobit(w[i - 16] + low + w[i - 7] + high)
    end
    local a, b, c, d, e, f, g, h = s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8]
    for i = 1, 64 do
      local choice = bxor(band(e, f), band(bnot(e), g))
      local first = tobit(h + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + choice + constants[i] + w[i])
      local second = tobit(bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c)))
      h, g, f, e, d, c, b, a = g, f, e, tobit(d + first), c, b, a, tobit(first + second)
    end
    s = {tobit(s[1] + a), tobit(s[2] + b), tobit(s[3] + c), tobit(s[4] + d),
         tobit(s[5] + e), tobit(s[6] + f), tobit(s[7] + g), tobit(s[8] + h)}
  end
  for i = 1, 8 do s[i] = tohex(s[i]) end
  return table.concat(s)
end
"""

_DOOR = """
local seen = {}
local INFERENCE = {PATHS}
local function refuse(handle, status, sentence)
  handle:respond({[":status"] = status, ["www-authenticate"] = status == "401" and "Bearer" or nil}, sentence)
end
local function given(headers)
  local key = headers:get("x-api-key")
  if key ~= nil then return key end
  local header = headers:get("authorization")
  if header == nil then return nil end
  return string.match(header, "^[Bb][Ee][Aa][Rr][Ee][Rr]%s+(%S+)%s*$") or ""
end
local function known(key)
  local found = seen[key]
  if found == nil and #key > 0 and #key <= MOST then
    found = keys[sha256(key)]
    seen[key] = found
  end
  if found ~= nil and found.ends ~= nil and os.time() >= found.ends then return nil, "has expired" end
  return found, "is not known here, or was revoked"
end
function envoy_on_request(handle)
  local headers = handle:headers()
  local path = string.match(headers:get(":path"), "^[^?]*")
  if path == "/v2/health/live" or path == "/v2/health/ready" then return end
  local key = given(headers)
  if key == nil then return refuse(handle, "401", "an API key is needed and none was sent") end
  local found, why = known(key)
  if found == nil then return refuse(handle, "401", "an API key is needed, and the one that was sent " .. why) end
  headers:remove("x-api-key")
  headers:remove("authorization")
  headers:replace("CLIENT", found.client)
  local model = string.match(path, "^/v[12]/models/([^/]+)")
  local own = string.match(path, "^/models/([^/]+)")
  local verb = (own or INFERENCE[path] or string.match(path, "/infer$") or headers:get(":method") == "POST") and "infer" or "metadata"
  model = model or own
  if not found[verb] then return refuse(handle, "403", "this key is not good for the verb " .. verb) end
  if found.models == nil then return end
  if path == "/v1/models" then return refuse(handle, "403", "this key is good for some models only: ask for /v1/models/<name>") end
  if model ~= nil and not found.models[model] then return refuse(handle, "403", "this key is not good for this model") end
  handle:streamInfo():dynamicMetadata():set("SCOPE", "models", found.listed)
end
"""


def request_filter(source: Callable[[str], Json]) -> Json:
    """The filter as the listener names it; what it holds comes from ``source``. Until that was read, nobody is let in."""
    return {
        "name": NAME,
        "config_discovery": {"config_source": source(KIND), "type_urls": [_LUA_TYPE], "default_config": _config({}, {})},
    }


def resource(platform: Mapping[str, str], keys: Mapping[str, Key]) -> Json:
    """Envoy's extension configuration. ``platform``: the platform's own callers and their keys, good for everything."""
    return {"name": NAME, "typed_config": _config(platform, keys)}


def _config(platform: Mapping[str, str], keys: Mapping[str, Key]) -> Json:
    rows = {digest(secret): _row(client) for client, secret in platform.items()}
    for name, key in keys.items():
        rows |= {hashed: _row(name, key, ends) for hashed, ends in key.accepted()}
    table = ",\n".join(f'["{hashed}"] = {row}' for hashed, row in sorted(rows.items()))
    door = _DOOR.replace("MOST", str(MOST_CHARACTERS)).replace("CLIENT", CLIENT_HEADER).replace("SCOPE", SCOPE)
    door = door.replace("PATHS", ", ".join(f"[{json.dumps(path)}] = true" for path in INFERENCE_PATHS))
    return {"@type": _LUA_TYPE, "default_source_code": {"inline_string": f"{_SHA256}\nlocal keys = {{\n{table}\n}}\n{door}"}}


def _row(client: str, key: Key | None = None, ends: float | None = None) -> str:
    """A row of the script's table. Names have been checked; JSON's quotes are Lua's."""
    parts = [f"client = {json.dumps(client)}", *(f"{verb} = true" for verb in (key.verbs if key else VERBS))]
    if key and key.models:
        parts.append(f"models = {{{', '.join(f'[{json.dumps(model)}] = true' for model in key.models)}}}")
        parts.append(f"listed = {json.dumps(',' + ','.join(key.models) + ',')}")
    if ends is not None:
        parts.append(f"ends = {ends:.0f}")
    return "{" + ", ".join(parts) + "}"
