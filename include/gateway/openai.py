"""OpenAI's API at the gateway: the model's name is in the body, sessions stick to a revision, answers tell their tokens. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SCOPE = "updraft.key"
"""Namespace of the metadata that says which ``models`` a caller's key is good for; absent for one that is good for all."""
INFERENCE_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
MODEL_HEADER = "x-updraft-model"
"""The body's `model`, for the routes. Only the gateway sets it."""
SESSION_HEADER = "x-updraft-session"
"""The caller's ``x-session-id``, or else the body's `user`. Requests that agree in it go to one revision while the split stays."""
NO_MODEL = 'the body is no JSON object that names a model: send {"model": "<name>", ...}; GET /v1/models lists the names.'
NEEDS_HEADER = "x-updraft-needs"
"""What a request needs of its model beyond the plain case, words between commas. Only the gateway sets it."""
OWN_HEADERS = (MODEL_HEADER, SESSION_HEADER, NEEDS_HEADER)
"""No caller may send them."""
UNOFFERED = {
    "tools": "model {} knows no tools: its chat template has no place for them. Leave out `tools` and what calls or answers them.",
    "developer": "model {} knows no role developer: write the role system.",
    "choices": "the server of model {} tells the tokens of one choice only: stream the answer (stream: true), or ask for each by itself.",
    "echo": "model {} does not repeat its prompt: leave out `echo`.",
    "logprobs": "model {} gives no `logprobs` of completions: ask /v1/chat/completions with logprobs: true, or leave it out.",
    "suffix": "model {} fills in no gaps: leave out `suffix`.",
    "best_of": "model {} draws no `best_of`: leave it out, or ask with `n`.",
    "embeddings": "model {} makes no embeddings: it answers /v1/chat/completions and /v1/completions.",
}
"""What not every server or model can do, and what a caller is told where it can't."""
FACTS = "updraft"
"""Namespace of what is found out about one request."""
_OVERLAP = 64
"""Bytes of a chunk that are read again with the next one: a figure may lie across the two."""
_LINE = 1024 * 1024
"""A longer line of a stream is not read whole."""
BYTES_PER_TOKEN = 4
UNSAID_TOKENS = 512
"""What a request is taken to ask for that names no ``max_tokens``."""
ANSWER_FACTS = ("prompt_tokens", "completion_tokens", "finish_reason", "answered")
"""``answered`` is there when an answer said something: text, or a call of a tool."""

_READ_BODY, _CHECK, _CHOOSE_MODEL, _READ_ANSWER = "updraft.read_body", "updraft.check", "updraft.choose_model", "updraft.read_answer"
_REFUSE = "updraft.refuse"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"

_CHECK_LUA = Path(__file__).with_name("chat_requests.lua").read_text().replace("@NEEDS@", NEEDS_HEADER).replace("@FACTS@", FACTS)

_REFUSE_LUA = f"""
function envoy_on_request(handle)
  local trouble = (handle:streamInfo():dynamicMetadata():get("{FACTS}") or {{}}).trouble
  if trouble then handle:respond({{[":status"] = "400"}}, trouble) end
end
"""

# Bodies are the caller's: what becomes a header has no character that could end it.
_CHOOSE_MODEL_LUA = f"""
function envoy_on_request(handle)
  local found = handle:streamInfo():dynamicMetadata():get("{FACTS}") or {{}}
  local headers = handle:headers()
  local session = headers:get("x-session-id") or found.user
  if session then headers:replace("{SESSION_HEADER}", (string.gsub(string.sub(session, 1, 256), "[^%w%p]", "_"))) end
  if found.model == nil then return end
  local fits = #found.model <= 128 and string.find(found.model, "^%w[%w._/:-]*$")
  headers:replace("{MODEL_HEADER}", fits and found.model or "?")
  local key = handle:streamInfo():dynamicMetadata():get("{SCOPE}")
  if key ~= nil and not string.find(key.models, "," .. found.model .. ",", 1, true) then
    return handle:respond({{[":status"] = "403"}}, "this key is not good for this model")
  end
  handle:clearRouteCache()
end
"""

# Within JSON strings quotes are escaped, so these patterns find keys only. A stream tells its tokens in its last event: as `usage` when the
# caller asked for it, and llama.cpp always as `timings`, where tokens out of the cache are told apart: at the end of each choice by itself.
# The choices of one prompt share it, so its tokens count once: `n` choices in a row are of one prompt.
_READ_ANSWER_LUA = f"""
local says = {{'"content"%s*:%s*"[^"]', '"text"%s*:%s*"[^"]', '"tool_calls"%s*:%s*%[%s*{{'}}
local function number(text, name) return tonumber(string.match(text, '"' .. name .. '"%s*:%s*(%d+)') or nil) end
local function last(text, name)
  local found
  for figure in string.gmatch(text, '"' .. name .. '"%s*:%s*(%d+)') do found = tonumber(figure) end
  return found
end
function envoy_on_response(handle)
  local rest, answered, asked, told = "", false, {{}}, {{}}
  local streamed = string.find(handle:headers():get("content-type") or "", "^text/event%-stream") ~= nil
  local n = tonumber((handle:streamInfo():dynamicMetadata():get("{FACTS}") or {{}}).n) or 1
  local function read(text)
    local facts = handle:streamInfo():dynamicMetadata()
    for reason in string.gmatch(text, '"finish_reason"%s*:%s*"([%w_]+)"') do facts:set("{FACTS}", "finish_reason", reason) end
    for _, said in ipairs(answered and {{}} or says) do
      if string.find(text, said) then
        answered = true
        facts:set("{FACTS}", "answered", "yes")
      end
    end
    local made = streamed and number(text, "predicted_n")
    if made then
      local choice = number(text, "index") or 0
      asked[math.floor(choice / n)] = (number(text, "prompt_n") or 0) + (number(text, "cache_n") or 0)
      told[choice] = made
    end
    local prompt, completion = last(text, "prompt_tokens"), last(text, "completion_tokens")
    if next(told) then
      prompt, completion = 0, 0
      for _, tokens in pairs(asked) do prompt = prompt + tokens end
      for _, tokens in pairs(told) do completion = completion + tokens end
    end
    if prompt then facts:set("{FACTS}", "prompt_tokens", prompt) end
    if completion then facts:set("{FACTS}", "completion_tokens", completion) end
  end
  for chunk in handle:bodyChunks() do
    local text = rest .. chunk:getBytes(0, chunk:length())
    if streamed then
      local whole = string.match(text, "^.*\\n()") or 1
      for line in string.gmatch(string.sub(text, 1, whole - 1), "[^\\n]+") do read(line) end
      rest = string.sub(text, whole)
      if #rest > {_LINE} then rest = string.sub(rest, -{_OVERLAP}) end
    else
      read(text)
      rest = string.sub(text, -{_OVERLAP})
    end
  end
  if streamed and rest ~= "" then read(rest) end
end
"""


def request_filters() -> list[Json]:
    """Read the body's `model` and `user`, how much it asks for and whether it is good, then choose the route anew; on routes with
    :func:`reads_body` only."""
    named = [_fact(key) for key in ("model", "user")]
    counts = [_fact(key, "NUMBER") for key in ("max_tokens", "max_completion_tokens", "n")]
    rules = {"rules": [*named, *counts], "allow_content_types_regex": {"regex": ".*"}, "allow_empty_content_type": True}
    return [
        {
            "name": _READ_BODY,
            "disabled": True,
            "typed_config": {"@type": f"{_FILTERS}.json_to_metadata.v3.JsonToMetadata", "request_rules": rules},
        },
        _lua(_CHECK, _CHECK_LUA),
        _lua(_CHOOSE_MODEL, _CHOOSE_MODEL_LUA),
    ]


def refusing_filter() -> Json:
    """Refuses the requests that were found to be no good; behind the limits, which count them like others."""
    return _lua(_REFUSE, _REFUSE_LUA)


def answer_filter() -> Json:
    """Notes an answer's tokens and finish reason as it passes, held up by nothing; on routes that say so only."""
    return _lua(_READ_ANSWER, _READ_ANSWER_LUA)


def reads_body() -> Json:
    """Settings (``typed_per_filter_config``) of the route that a request has until its body is read: the filters are chosen by that one."""
    return {name: ON for name in (_READ_BODY, _CHECK, _CHOOSE_MODEL, _REFUSE, _READ_ANSWER)}


def reads_answer() -> Json:
    """Settings of a route whose requests were read before."""
    return {"typed_per_filter_config": {_READ_ANSWER: ON}}


def models(names: Iterable[str]) -> str:
    """Body of ``GET /v1/models``."""
    return json.dumps({"object": "list", "data": [_model(name) for name in names]})


def model(name: str) -> str:
    """Body of ``GET /v1/models/<name>``."""
    return json.dumps(_model(name))


def error(message: str, kind: str, code: str | None, param: str | None = None) -> Json:
    """OpenAI's form of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 0, "owned_by": "updraft"}


ON: Json = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}


def _fact(key: str, kind: str = "STRING") -> Json:
    """Rule: what the body says under this key, as a text or a number."""
    return {"selectors": [{"key": key}], "on_present": {"metadata_namespace": FACTS, "key": key, "type": kind}}


def _lua(name: str, script: str) -> Json:
    config = {"@type": f"{_FILTERS}.lua.v3.Lua", "default_source_code": {"inline_string": script}}
    return {"name": name, "disabled": True, "typed_config": config}
