"""The judge's observations out of Prometheus, where a cluster's own gateway holds the traffic: its counters, by revision.

Increments are exact: the counters themselves are read, and what each held at the look before is kept with that look (Prometheus'
`increase()` extrapolates). What came since Prometheus' last scrape counts at a later look. Latencies are known as finely as the gateway's
buckets; within one they are taken to be spread evenly (on the logarithmic scale), for both arms alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any

from include.canary.observations import BIN_RATIO, Arm, Latencies
from include.errors import ComponentError, InputError
from include.runtime import web

TIMEOUT_S = 10.0
LOOKBACK = "1h"
"""A counter that has not been scraped for longer counts from 0 when it comes back."""
Series = Mapping[str, Any]
Mark = Mapping[str, float]
"""What every counter held, by a short name of its labels."""


@dataclass(frozen=True)
class Figures:
    """Two queries for one revision, without functions: a counter of requests by ``status`` (a label whose value begins with the class, 2 to
    5), and the buckets of a histogram of latencies, ``unit_ms`` milliseconds being its 1."""

    requests: str
    latency: str
    status: str
    unit_ms: float


def envoy(cluster: str) -> Figures:
    """Of Envoy's cluster of that name. Its histogram has the failures in it too."""
    chosen = f"{{envoy_cluster_name={json.dumps(cluster)}}}"
    return Figures(
        f"envoy_cluster_upstream_rq_xx{chosen}", f"envoy_cluster_upstream_rq_time_bucket{chosen}", "envoy_response_code_class", 1
    )


def ingress_nginx(ingress: str, canary: str) -> Figures:
    """Of an Ingress: what its canary's upstream answered, or (``canary`` empty) what went to its own."""
    chosen = f"ingress={json.dumps(ingress)}, canary=" + (json.dumps(canary) if canary else "~" + json.dumps("-?"))
    fine = f'{{{chosen}, status!~"5.*"}}'
    bucket = f"nginx_ingress_controller_request_duration_seconds_bucket{fine}"
    return Figures(f"nginx_ingress_controller_requests{{{chosen}}}", bucket, "status", 1000)


class Prometheus:
    """One server at ``url``, asked for the figures of a trial's two arms."""

    def __init__(self, url: str, stable: Figures, canary: Figures) -> None:
        self._url, self._arms = url.rstrip("/"), (stable, canary)

    def mark(self) -> dict[str, Any]:
        """From here on what comes counts."""
        return {"counters": self._counters(f"last_over_time({{}}[{LOOKBACK}])")}

    def since(self, mark: Mapping[str, Any], *, mirrored: bool = False) -> tuple[Arm, Arm, dict[str, Any]]:
        """What the arms have had since ``mark``, and the mark behind it. ComponentError when Prometheus gives no answer."""
        if mirrored:
            raise InputError(
                "the cluster's gateway does not tell how copies were answered.", where="canary.mirror_s", remedy="Set it to 0."
            )
        before: Mark = mark["counters"]
        now: dict[str, float] = {}
        stable, canary = (self._arm(figures, before, now) for figures in self._arms)
        return stable, canary, {"counters": {**before, **now}}

    def _arm(self, figures: Figures, before: Mark, now: dict[str, float]) -> Arm:
        """Counts of one arm; what it refused (4xx) is no failure and is counted apart. ``now`` takes what its counters hold."""
        counts: dict[str, float] = {}
        for series in self._query(figures.requests):
            kind = str(series["metric"].get(figures.status, ""))[:1]
            counts[kind] = counts.get(kind, 0) + _increment(series, before, now)
        buckets: dict[float, float] = {}
        for series in self._query(figures.latency):
            edge = float(series["metric"]["le"]) * figures.unit_ms
            buckets[edge] = buckets.get(edge, 0) + _increment(series, before, now)
        errors = round(counts.get("5", 0))
        return Arm(
            errors + round(sum(counts.get(kind, 0) for kind in "123")), errors, latencies(buckets), refused=round(counts.get("4", 0))
        )

    def _counters(self, asked: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for figures in self._arms:
            for query in (figures.requests, figures.latency):
                found |= {_key(series): float(series["value"][1]) for series in self._query(asked.format(query))}
        return found

    def _query(self, query: str) -> Sequence[Series]:
        where = f"Prometheus at {self._url}"
        try:
            answer = web.ask("POST", f"{self._url}/api/v1/query", data={"query": query}, timeout=TIMEOUT_S)
            if not answer.ok:
                raise ComponentError(f"answered {answer.status_code}: {answer.text[:300]}", where=where)
            found: Sequence[Series] = answer.json()["data"]["result"]
            return found
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ComponentError(f"gives no answer ({error!s:.200}).", where=where) from None


def latencies(buckets: Mapping[float, float]) -> Latencies:
    """Out of cumulative counts by upper edge (milliseconds; infinite: the rest)."""
    counts: dict[int, int] = {}
    below, low = 0.0, 0.0
    for edge in sorted(buckets):
        count = round(max(buckets[edge] - below, 0))
        below = max(buckets[edge], below)
        first, last = _bins(low, edge)
        for place in range(count):
            at = first + (last - first + 1) * (2 * place + 1) // (2 * count)
            counts[at] = counts.get(at, 0) + 1
        low = edge
    return Latencies(counts)


def _bins(low: float, high: float) -> tuple[int, int]:
    """The first and the last bin of a bucket. The lowest begins at half its edge, the highest ends at twice that."""
    low, high = (low or high / 2, high if math.isfinite(high) else 2 * low)
    first = math.floor(math.log(low) / math.log(BIN_RATIO))
    return first, max(math.ceil(math.log(high) / math.log(BIN_RATIO)) - 1, first)


def _increment(series: Series, before: Mark, now: dict[str, float]) -> float:
    """Since the mark; a counter that is lower now began anew meanwhile."""
    key, value = _key(series), float(series["value"][1])
    now[key] = value
    known = before.get(key, 0.0)
    return value - known if value >= known else value


def _key(series: Series) -> str:
    """Of its labels: those of a bucket are no counter's. (Functions take the metric's name away.)"""
    labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
    return blake2s(json.dumps(labels, sort_keys=True).encode(), digest_size=8).hexdigest()
