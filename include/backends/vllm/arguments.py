"""``serve.arguments`` for vLLM: what may be passed through to its server, and what others set. Pure but for the table ``arguments.json``.

The table is of the version in ``docker/vllm/requirements.lock``; ``docker/vllm/arguments.py`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from include.spec.document import Fault
from include.spec.problem import nearest

TABLE = Path(__file__).with_name("arguments.json")
LOWEST = 1
SIZES = ("tensor-parallel-size", "pipeline-parallel-size", "max-num-batched-tokens", "block-size", "max-loras", "max-num-active-seqs")
"""Numbers that must be 1 or more."""
_PLATFORM, _GATEWAY = "Updraft sets it for each revision.", "The gateway does this for every model."
_LOGS = "What callers say is not logged."
TAKEN = {
    "model": "The revision's own model is served.",
    "tokenizer": "The revision's own tokenizer is served.",
    "served-model-name": "Callers name the model as the spec does.",
    "max-model-len": "Set `serve.context`.",
    "max-num-seqs": "Set `serve.parallel`.",
    "enable-lora": "Set `serve.adapters`.",
    "shutdown-timeout": "Set `serve.drain_s`.",
    **dict.fromkeys(("host", "port", "uds", "config", "middleware", "api-server-count", "root-path", "grpc-port"), _PLATFORM),
    **dict.fromkeys(("revision", "code-revision", "tokenizer-revision", "hf-token", "hf-config-path", "download-dir"), _PLATFORM),
    **dict.fromkeys(("lora-modules", "generation-config", "disable-fastapi-docs", "chat-template"), _PLATFORM),
    **dict.fromkeys(("api-key", "allowed-origins", "allowed-methods", "allowed-headers", "allow-credentials"), _GATEWAY),
    **dict.fromkeys(("ssl-keyfile", "ssl-certfile", "ssl-ca-certs", "ssl-cert-reqs", "ssl-ciphers", "enable-ssl-refresh"), _GATEWAY),
    **dict.fromkeys(("enable-force-include-usage", "sse-keep-alive-interval"), _GATEWAY),
    "trust-remote-code": "Code from a model is never run.",
    **dict.fromkeys(("enable-log-requests", "enable-log-outputs", "enable-log-deltas", "max-log-len"), _LOGS),
    **dict.fromkeys(("disable-uvicorn-access-log", "uvicorn-log-level", "disable-access-log-for-endpoints"), _LOGS),
}
"""What is no one's to pass through, and why."""
_WORDS = {
    "flag": "true or false",
    "int": "a whole number",
    "number": "a number",
    "text": "a text",
    "list": "a list of texts or numbers",
    "mapping": "a mapping",
}


@cache
def known() -> Mapping[str, str | list[str]]:
    """Argument → its kind, or the texts that it may be."""
    table: dict[str, str | list[str]] = json.loads(TABLE.read_text())["arguments"]
    return table


def faults(arguments: Mapping[str, Any]) -> Iterator[Fault]:
    """Every argument that vLLM does not know, that is of the wrong type, or that is not the spec's to set."""
    for name, value in arguments.items():
        if (fault := _fault(name, value)) is not None:
            what, more = fault
            yield ("serve", "arguments", name), what, more


def _fault(name: str, value: Any) -> tuple[str, dict[str, Any]] | None:
    if name in TAKEN:
        return "is not yours to set.", {"remedy": TAKEN[name]}
    kind = known().get(name)
    if kind is None:
        plain = name.lstrip("-").replace("_", "-")
        names = [one for one in known() if one not in TAKEN]
        return "is no argument of vLLM's server.", {"nearest": nearest(plain, names), "remedy": "Write its name without the dashes."}
    if isinstance(kind, list):
        return None if str(value) in kind else (f"is {value!r:.60}.", {"allowed": tuple(kind), "nearest": nearest(str(value), kind)})
    if not _is(kind, value):
        return f"must be {_WORDS[kind]}, not {value!r:.60}.", {}
    if name in SIZES and value < LOWEST:
        return f"must be at least {LOWEST}, not {value}.", {}
    return None


def _is(kind: str, value: Any) -> bool:
    if kind == "flag":
        return isinstance(value, bool)
    if kind in ("int", "number"):
        return not isinstance(value, bool) and isinstance(value, int if kind == "int" else int | float)
    if kind == "list":
        return isinstance(value, list) and bool(value) and all(isinstance(one, str | int) for one in value)
    return isinstance(value, dict if kind == "mapping" else str) or (kind == "text" and _is("number", value))
