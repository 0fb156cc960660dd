"""A cluster of Envoy's whose one server listens on a Unix socket of this machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def cluster(name: str, socket: str, limits: Mapping[str, int]) -> dict[str, Any]:
    """Return its configuration; ``limits`` are the thresholds of its circuit breaker."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": socket}}}}]}]},
        "circuit_breakers": {"thresholds": [dict(limits)]},
    }
