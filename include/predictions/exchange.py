"""What one caller sent and got, as the log's rows: a request of several rows is several. Pure."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from include.gateway import openai
from include.predictions.tensors import safe, tensors

Json = dict[str, Any]
Row = dict[str, Any]
KINDS = ("live", "mirror")
"""What is logged: probes and batches are the platform's own."""
Columns = Callable[[str, int], Sequence[str]]
"""From a model and its version to the columns behind the tensor ``input``; empty where they aren't known."""
WHOLE = "input"
"""The tensor that holds a row of all columns."""
MOST_UNPACKED_BYTES = 8 * 1024 * 1024
MOST_ROWS = 4096
"""Of one request; of one with more the exchange is kept, without inputs and outputs."""
MOST_DEPTH = 32
"""Lists and objects within one another, of a body that is kept: what is written must be readable from wherever it is read."""
MOST_FIELDS, LONGEST_NAME = 128, 64
"""Of a request of OpenAI's API; what it has beside them is left out: each name is a column."""


def rows(facts: Mapping[str, str], columns: Columns) -> list[Row]:
    """Return the rows of an exchange as the gateway tells of it (:func:`include.gateway.exchanges.access_log`): none of what isn't logged.

    What can't be read (a body that was too long, or is in no form that is known) has no inputs, or no outputs. Of a table's request that
    was refused or failed nothing is kept but that: no server has checked what its caller called an input.
    """
    if facts.get("kind") not in KINDS:
        return []
    version = facts.get("revision", "")
    common: Row = {
        "id": facts["id"],
        "time": float(facts["time"]),
        "model": facts["model"],
        "version": int(version) if version.isdigit() else 0,
        "key": "" if facts["key"] == "-" else facts["key"],
        "kind": facts["kind"],
        "latency_ms": _count(facts["total_us"]) / 1000,
        "status": _count(facts["status"]),
    }
    if (trace := facts.get("trace_id", "-")) != "-":
        common["trace_id"] = trace
    asked, got = _body(facts, "request"), _unpacked(_body(facts, "response"), facts.get("response_coding", "-"))
    fine = 200 <= common["status"] < 300
    if facts["path"] in openai.INFERENCE_PATHS:
        return [{**common, "inputs": _question(asked), "outputs": _answer(got) if fine else {}}]
    if not fine:
        return [{**common, "inputs": {}, "outputs": {}}]
    inputs = _by_row(asked, facts.get("request_head", "-"), "inputs", columns(common["model"], common["version"]))
    outputs = _by_row(got, facts.get("response_head", "-"), "outputs", ())
    count = max(len(inputs), 1)
    found = []
    for number in range(count):
        own = {**common, "id": f"{common['id']}.{number}"} if count > 1 else common
        found.append(
            {
                **own,
                "inputs": inputs[number] if inputs else {},
                "outputs": outputs[number] if len(outputs) == count else {},
            }
        )
    return found


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _body(facts: Mapping[str, str], name: str) -> bytes:
    coded = facts.get(f"{name}_base64", "-")
    if coded != "-":
        return base64.b64decode(coded)
    plain = facts.get(name, "-")
    return b"" if plain == "-" else plain.encode()


def _unpacked(body: bytes, coding: str) -> bytes:
    """Servers compress for callers that take it. What has another coding, or unpacks to more than anything noted may be, is empty."""
    if coding == "-":
        return body
    if coding not in ("gzip", "deflate"):
        return b""
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, as it says itself
    try:
        found = unpacking.decompress(body, MOST_UNPACKED_BYTES)
    except zlib.error:
        return b""
    return found if unpacking.eof else b""


def _by_row(body: bytes, head: str, part: str, columns: Sequence[str]) -> list[Json]:
    """Return the values by name of each row of a KServe body."""
    found: list[Json] = []
    for name, count, values in tensors(body, _count(head), part):
        if not 1 <= count <= MOST_ROWS or not values or len(values) % count:
            continue  # shapes are the caller's word: values are counted before rows are made
        found = found or [{} for _ in range(count)]
        if count != len(found):
            continue
        width = len(values) // count
        names = list(columns) if name == WHOLE and len(columns) == width else None
        for row, target in enumerate(found):
            mine = values[row * width : (row + 1) * width]
            target.update(zip(names, mine, strict=True) if names else {name: mine[0] if width == 1 else mine})
    return found


def _object(body: bytes) -> Json:
    try:
        found = _plain(json.loads(body), MOST_DEPTH)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _plain(value: Any, depth: int) -> Any:
    """JSON that every file takes, without halves of surrogate pairs. Raises ValueError for what is nested deeper than ``depth``."""
    if isinstance(value, str):
        return safe(value)
    if not isinstance(value, (list, dict)):
        return value
    if depth == 0:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_plain(part, depth - 1) for part in value]
    return {safe(name): _plain(part, depth - 1) for name, part in value.items()}


def _question(body: bytes) -> Json:
    """Return a request of OpenAI's API as it is, but for the model's name."""
    asked = _object(body).items()
    known = ((name, value) for name, value in asked if name != "model" and value is not None and len(name) <= LONGEST_NAME)
    return dict(islice(known, MOST_FIELDS))


def _answer(body: bytes) -> Json:
    """Return ``text``, ``finish_reason``, ``prompt_tokens``, ``completion_tokens`` and ``tool_calls``, those that there are. Of several
    choices it is the first one's; vectors (embeddings) are left out."""
    parts = list(_events(body)) if body.lstrip()[:5] == b"data:" else [_object(body)]
    texts: list[str] = []
    found: Json = {}
    calls: list[Any] = []
    for part in parts:
        usage = part.get("usage")
        if isinstance(usage, dict):
            found |= {name: usage[name] for name in ("prompt_tokens", "completion_tokens") if isinstance(usage.get(name), int)}
        choices = part.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index", 0) != 0:
                continue
            said = choice.get("message") or choice.get("delta") or choice
            if not isinstance(said, dict):
                continue
            text = said.get("content") if said is not choice else said.get("text")
            texts += [text] if isinstance(text, str) else []
            calls += said.get("tool_calls") or []
            found |= {"finish_reason": choice["finish_reason"]} if choice.get("finish_reason") else {}
    return {**({"text": "".join(texts)} if texts else {}), **found, **({"tool_calls": calls} if calls else {})}


def _events(body: bytes) -> Iterator[Json]:
    for line in body.splitlines():
        if line.startswith(b"data:"):
            yield _object(line[5:])
