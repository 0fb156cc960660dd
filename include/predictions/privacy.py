"""What may be written of a row: inputs left out, hashed, personal data in texts of chats masked. Before anything is on a disk. Pure."""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection
from typing import Any

from include.data.personal import masked
from include.predictions.exchange import WHOLE, Row
from include.spec.schema import PredictionLog

HASH_LENGTH = 32


def private(row: Row, log: PredictionLog, secret: bytes, *, chat: bool) -> Row:
    """Return what may be kept of a row. ``chat``: it is a language model's, whose texts lose what looks like personal data."""
    left_out, hashed = frozenset(log.redact), frozenset(log.hash)
    found = {**row, "key": _one("key", row["key"], left_out, hashed, secret) or ""}
    for part, prefix in (("inputs", ""), ("outputs", "outputs.")):
        found[part] = {
            name: _one(f"{prefix}{name}", _masked(value) if chat else value, left_out, hashed, secret)
            for name, value in row[part].items()
            if f"{prefix}{name}" not in left_out
        }
    if any(not name.startswith("outputs.") and name != "key" for name in (left_out | hashed) - {WHOLE}):
        found["inputs"].pop(WHOLE, None)  # all columns in one, and which is which isn't known: one of them must not be kept
    return found


def _one(name: str, value: Any, left_out: Collection[str], hashed: Collection[str], secret: bytes) -> Any:
    if name in left_out:
        return None
    if name not in hashed or value is None:
        return value
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return hmac.digest(secret, f"{name}\0{text}".encode(), "sha256").hex()[:HASH_LENGTH]


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, list):
        return [_masked(part) for part in value]
    if isinstance(value, dict):
        return {name: _masked(part) for name, part in value.items()}
    return value
