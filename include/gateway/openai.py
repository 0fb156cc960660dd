"""OpenAI's API at the gateway: the model's name is in the body, sessions stick to a revision, answers tell their tokens. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from include.gateway.script import script

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

_CHECK_LUA = f"{script('json')}\n{script('chat_requests', NEEDS=NEEDS_HEADER, FACTS=FACTS)}"

_REFUSE_LUA = script("refuse", FACTS=FACTS)

_CHOOSE_MODEL_LUA = script("choose_model", FACTS=FACTS, SESSION=SESSION_HEADER, MODEL=MODEL_HEADER, SCOPE=SCOPE)

_READ_ANSWER_LUA = script("read_answer", FACTS=FACTS, LINE=_LINE, OVERLAP=_OVERLAP)


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
