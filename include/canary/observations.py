"""What the judge looks at: request counts, failures and latencies of both arms, look by look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from include.canary.asked import NOTHING, Asked
from include.canary.compared import NO_ROWS, Compared

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

    def to_json(self) -> dict[str, int]:
        return {str(index): count for index, count in sorted(self.counts.items())}

    @classmethod
    def from_json(cls, data: Mapping[str, int]) -> Latencies:
        return cls({int(index): count for index, count in data.items()})


@dataclass(frozen=True)
class Answers:
    """A language model's answers in one arm: ``bad`` of the ``ended`` ones were cut off or empty.

    ``ttft`` is the time to the first token and ``tpot`` the time of each further one (milliseconds), both of streamed answers;
    ``lengths`` a histogram of completion tokens, in the same bins.
    """

    ended: int = 0
    bad: int = 0
    ttft: Latencies = Latencies()
    tpot: Latencies = Latencies()
    lengths: Latencies = Latencies()

    def __add__(self, other: Answers) -> Answers:
        return Answers(
            self.ended + other.ended, self.bad + other.bad, self.ttft + other.ttft, self.tpot + other.tpot, self.lengths + other.lengths
        )

    def to_json(self) -> dict[str, Any]:
        return {"ended": self.ended, "bad": self.bad} | {name: getattr(self, name).to_json() for name in ("ttft", "tpot", "lengths")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answers:
        return cls(data["ended"], data["bad"], *(Latencies.from_json(data[name]) for name in ("ttft", "tpot", "lengths")))


@dataclass(frozen=True)
class Arm:
    """One arm during one look: ``errors`` of ``requests`` failed; latencies are those of the requests that did not.

    ``answers`` is for language models only. ``refused`` requests are not among ``requests``: the revision called them the caller's fault.
    """

    requests: int = 0
    errors: int = 0
    latencies: Latencies = Latencies()
    answers: Answers = Answers()
    refused: int = 0

    def __add__(self, other: Arm) -> Arm:
        return Arm(
            self.requests + other.requests,
            self.errors + other.errors,
            self.latencies + other.latencies,
            self.answers + other.answers,
            self.refused + other.refused,
        )

    def to_json(self) -> dict[str, Any]:
        found = {"requests": self.requests, "errors": self.errors, "latencies": self.latencies.to_json()}
        found |= {"refused": self.refused} if self.refused else {}
        return found | ({"answers": self.answers.to_json()} if self.answers != Answers() else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Arm:
        answers = Answers.from_json(data["answers"]) if "answers" in data else Answers()
        return cls(data["requests"], data["errors"], Latencies.from_json(data["latencies"]), answers, data.get("refused", 0))


@dataclass(frozen=True)
class Sample:
    """What both arms said to the same live requests: ``asked`` of a language model's prompts, ``compared`` of a table's rows."""

    asked: Asked = NOTHING
    compared: Compared = NO_ROWS

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.asked + other.asked, self.compared + other.compared)


@dataclass(frozen=True)
class Look:
    """What came since the look before. ``at_s`` counts from the trial's first step; ``weight`` is the canary's percent of traffic.

    ``asked`` are a language model's live prompts that both arms were asked meanwhile, ``compared`` a table's rows.
    """

    at_s: float
    step: int
    weight: int
    stable: Arm
    canary: Arm
    asked: Asked = NOTHING
    compared: Compared = NO_ROWS

    def to_json(self) -> dict[str, Any]:
        found = {
            "at_s": self.at_s,
            "step": self.step,
            "weight": self.weight,
            "stable": self.stable.to_json(),
            "canary": self.canary.to_json(),
        }
        found |= {"asked": self.asked.to_json()} if self.asked.prompts else {}
        return found | ({"compared": self.compared.to_json()} if self.compared.rows else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Look:
        stable, canary = Arm.from_json(data["stable"]), Arm.from_json(data["canary"])
        asked = Asked.from_json(data["asked"]) if "asked" in data else NOTHING
        compared = Compared.from_json(data["compared"]) if "compared" in data else NO_ROWS
        return cls(data["at_s"], data["step"], data["weight"], stable, canary, asked, compared)
