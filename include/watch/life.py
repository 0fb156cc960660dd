"""A champion's life as the watch sees it: its accepted past, and the tests that every look takes one step further. Pure.

What each test has seen lately is kept as it came, so that a suspicion can be computed again from its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from include.canary.histogram import slower_than
from include.canary.observations import Arm
from include.watch.shares import DAY_S, ShareTest, life_weight, upper_share

if TYPE_CHECKING:
    from collections.abc import Mapping

ERRORS, SLOW, REFUSED = "errors", "slow", "refused"
PROOF = "proof"
"""The test of errors that needs no comparison: against the upper bound of the accepted past, at an alpha for the whole life."""
SUSPICIONS_A_DAY = 12.0
"""So often a day may a champion that is as it was be suspected (an upper bound): it costs callers nothing but a version they had before."""
ALPHA = 0.001
"""Chance that a champion that is no worse is ever taken out of production: half for proofs, half for all trials after suspicions."""
ENOUGH_PAST = 5000
"""Requests after which the accepted past is known, and no more is learnt."""
LEAST_PAST = 200
"""Requests of the past without which only errors are judged, by the canary's own limit."""
CALM = 0.01
"""Looks are learnt from while the evidence is below this part of what makes a suspicion."""
SLOW_SHARE = 0.05
"""Requests beyond the past's 95th percentile, by definition."""
MOST_RECENT = 120
"""Looks that are kept as they came."""
RATE_S = 120.0
"""The rate of requests is known over about this long."""
Counts = dict[str, list[float]]


@dataclass(frozen=True)
class Bounds:
    """What the spec says of harm: the error rate that is allowed before there is a past, and how much slower a request may be."""

    max_error_rate: float = 0.01
    latency_tolerance: float = 0.25


@dataclass(frozen=True)
class Life:
    """``past`` is what was accepted of ``version``; ``begun`` [by test] the tests before the looks in ``recent``, ``tests`` after them.

    A recent look is ``[weight, life_weight, requests, errors, answered, slow, refused]``. ``idle_s``: time without a request, to be
    weighed with the next look. ``rate``: requests a second, lately. ``suspicions``: so many trials there were.
    """

    version: int
    past: Arm = field(default_factory=Arm)
    age_s: float = 0.0
    idle_s: float = 0.0
    rate: float = 0.0
    suspicions: int = 0
    begun: Mapping[str, ShareTest] = field(default_factory=dict)
    tests: Mapping[str, ShareTest] = field(default_factory=dict)
    recent: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def start(cls, version: int, past: Arm, bounds: Bounds) -> Life:
        """Begin the watch of a version with what its trial has shown of it (an empty Arm for one that had none)."""
        tests = _tests(past, bounds)
        return cls(version, past, begun=tests, tests=tests)

    def observe(self, arm: Arm, seconds: float, bounds: Bounds) -> Life:
        """Return the life after one more look, at what came within the last ``seconds``."""
        age_s, idle_s = self.age_s + seconds, self.idle_s + seconds
        fresh = min(seconds / min(age_s, RATE_S), 1.0)
        rate = self.rate * (1 - fresh) + (arm.requests + arm.refused) / seconds * fresh
        if not arm.requests + arm.refused:
            return replace(self, age_s=age_s, idle_s=idle_s, rate=rate)
        slow = slower_than(arm.latencies, limit) if (limit := slow_limit_ms(self.past, bounds)) else 0
        look = (idle_s / DAY_S, life_weight(age_s - idle_s, idle_s), arm.requests, arm.errors, arm.latencies.n, slow, arm.refused)
        tests, begun = step(self.tests, look), self.begun
        recent = (*self.recent, look)
        if len(recent) > MOST_RECENT:
            begun, recent = step(begun, recent[0]), recent[1:]
        life = replace(self, age_s=age_s, idle_s=0.0, rate=rate, begun=begun, tests=tests, recent=recent)
        return life._learn(arm, bounds) if self.past.requests < ENOUGH_PAST and life._calm() else life

    def suspected(self) -> tuple[str, ...]:
        """Name the tests whose evidence makes a suspicion."""
        return tuple(name for name, test in self.tests.items() if name != PROOF and suspicious(test))

    def proved(self) -> bool:
        """Say whether the errors alone prove harm, at the alpha of the whole life."""
        return proven(self.tests[PROOF])

    def cleared(self) -> Life:
        """Return the life after a trial that found nothing: what has raised the suspicion is forgotten."""
        tests = {name: ShareTest.start(test.accepted) for name, test in self.tests.items()}
        return replace(self, begun=tests, tests=tests, recent=(), idle_s=0.0, suspicions=self.suspicions + 1)

    def _calm(self) -> bool:
        return all(float(test.total[0]) * (ALPHA / 2 if name == PROOF else SUSPICIONS_A_DAY) < CALM for name, test in self.tests.items())

    def _learn(self, arm: Arm, bounds: Bounds) -> Life:
        """The look is accepted: what is known of the past is more, and what is looked at as it came begins anew."""
        past, fresh = self.past + replace(arm, answers=self.past.answers), {}
        for name, test in _tests(past, bounds).items():
            known = self.tests.get(name)
            fresh[name] = test if known is None else ShareTest(test.accepted, known.evidence)
        return replace(self, past=past, begun=fresh, tests=fresh, recent=())

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON types; a life restored by :meth:`from_json` goes on exactly as this one would."""
        plain = {name: getattr(self, name) for name in ("version", "age_s", "idle_s", "rate", "suspicions")}
        tests = {name: {key: test.to_json() for key, test in getattr(self, name).items()} for name in ("begun", "tests")}
        return plain | tests | {"past": self.past.to_json(), "recent": [list(look) for look in self.recent]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Life:
        tests = {name: {key: ShareTest.from_json(test) for key, test in data[name].items()} for name in ("begun", "tests")}
        more = {"past": Arm.from_json(data["past"]), "recent": tuple(tuple(look) for look in data["recent"])}
        return cls(**{**data, **tests, **more})


def slow_limit_ms(past: Arm, bounds: Bounds) -> float | None:
    """Return the latency beyond which a request is slow (milliseconds), None while the past is too short to tell."""
    if past.latencies.n < LEAST_PAST:
        return None
    return (past.latencies.quantile(0.95) or 0.0) * (1 + bounds.latency_tolerance)


def step(tests: Mapping[str, ShareTest], look: tuple[float, ...]) -> dict[str, ShareTest]:
    """Take each test one look further."""
    import numpy as np

    weight, of_life, requests, errors, answered, slow, refused = look
    counts = {ERRORS: (requests, errors), PROOF: (requests, errors), SLOW: (answered, slow), REFUSED: (requests + refused, refused)}

    def one(value: float) -> Any:
        return np.array([float(value)])

    return {
        name: test.observe(one(counts[name][0]), one(counts[name][1]), of_life if name == PROOF else weight) for name, test in tests.items()
    }


def suspicious(test: ShareTest) -> bool:
    """Whether the evidence is as much as chance alone gives it no oftener than :data:`SUSPICIONS_A_DAY`."""
    return float(test.total[0]) * SUSPICIONS_A_DAY >= 1


def proven(test: ShareTest) -> bool:
    """Whether the evidence is as much as chance alone gives it in one life of 2,000."""
    return float(test.total[0]) * ALPHA / 2 >= 1


def _tests(past: Arm, bounds: Bounds) -> dict[str, ShareTest]:
    """The tests of a champion with this past, before its first look."""
    import numpy as np

    shares = {ERRORS: bounds.max_error_rate, PROOF: bounds.max_error_rate}
    if past.requests >= LEAST_PAST:
        shares[ERRORS] = (past.errors + 1) / (past.requests + 2)
        shares[PROOF] = upper_share(past.errors, past.requests)
    every = past.requests + past.refused
    if every >= LEAST_PAST:
        shares[REFUSED] = (past.refused + 1) / (every + 2)
    if (limit := slow_limit_ms(past, bounds)) is not None:
        shares[SLOW] = max(SLOW_SHARE, slower_than(past.latencies, limit) / past.latencies.n)
    return {name: ShareTest.start(np.array([share])) for name, share in shares.items()}
