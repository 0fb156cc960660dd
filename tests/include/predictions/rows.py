"""Rows of the prediction log, for whoever tests what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

NOON = datetime.fromisoformat("2026-01-31T12:00:00+00:00")


def row(number: int, *, at: datetime = NOON, inputs: Mapping[str, Any], outputs: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """One row of version 1 of the model `wine`; ``number`` makes its id."""
    facts = {"id": f"id-{number}", "time": at.timestamp(), "model": "wine", "version": 1, "key": "shop", "kind": "live"}
    return {**facts, "latency_ms": 2.5, "status": 200, "inputs": dict(inputs), "outputs": dict(outputs), **changed}
