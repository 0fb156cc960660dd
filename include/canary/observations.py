"""What the judge looks at: request counts, failures and latencies of both arms, look by look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

BIN_RATIO = 1.02
"""Width of a latency bin: a value is known to one per cent either way."""
_LOG_RATIO = math.log(BIN_RATIO)
MIN_MS = 0.001


@dataclass(frozen=True)
class Latencies:
    """A histogram of latencies with log-spaced bins: ``counts[i]`` values lie in [1.02**i, 1.02**(i+1)) ms. Mergeable."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> Latencies:
        counts: dict[int, int] = {}
        for value in values_ms:
            index = math.floor(math.log(max(value, MIN_MS)) / _LOG_RATIO)
            counts[index] = counts.get(index, 0) + 1
        return cls(counts)

    def __add__(self, other: Latencies) -> Latencies:
        counts = dict(self.counts)
        for index, count in other.counts.items():
            counts[index] = counts.get(index, 0) + count
        return Latencies(counts)

    @property
    def n(self) -> int:
        return sum(self.counts.values())

    def quantile(self, q: float) -> float | None:
        """The ``q``-quantile in milliseconds (bin's geometric middle), None when empty."""
        rank, seen = q * self.n, 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= rank and seen:
                return float(BIN_RATIO ** (index + 0.5))
        return None


@dataclass(frozen=True)
class Arm:
    """One arm during one look: ``errors`` of ``requests`` failed; latencies are those of the requests that did not."""

    requests: int = 0
    errors: int = 0
    latencies: Latencies = Latencies()

    def __add__(self, other: Arm) -> Arm:
        return Arm(self.requests + other.requests, self.errors + other.errors, self.latencies + other.latencies)

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "latencies": {str(k): v for k, v in sorted(self.latencies.counts.items())},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Arm:
        return cls(data["requests"], data["errors"], Latencies({int(k): v for k, v in data["latencies"].items()}))


@dataclass(frozen=True)
class Look:
    """What came since the look before. ``at_s`` counts from the trial's first step; ``weight`` is the canary's percent of traffic."""

    at_s: float
    step: int
    weight: int
    stable: Arm
    canary: Arm

    def to_json(self) -> dict[str, Any]:
        return {
            "at_s": self.at_s,
            "step": self.step,
            "weight": self.weight,
            "stable": self.stable.to_json(),
            "canary": self.canary.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Look:
        return cls(data["at_s"], data["step"], data["weight"], Arm.from_json(data["stable"]), Arm.from_json(data["canary"]))
