"""What a load test found out, rate by rate, and what it means. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from include.spec.serve import Slo
from include.verdict import Decision, Rule, Verdict

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
Quantiles = Mapping[str, float | None]
MAX_PROBLEMS = 3


@dataclass(frozen=True)
class Sent:
    """One request; times in seconds from the moment at which it was due, so that a late client or a queue counts too.

    ``first_s`` is the first token's, ``total_s`` the answer's end; ``tokens`` of the answer; ``problem`` is empty for a whole answer.
    """

    first_s: float | None = None
    total_s: float | None = None
    tokens: int = 0
    problem: str = ""

    @property
    def tpot_s(self) -> float | None:
        """Time per token after the first; None for an answer of one token, or none."""
        if self.first_s is None or self.total_s is None or self.tokens < 2:
            return None
        return (self.total_s - self.first_s) / (self.tokens - 1)


@dataclass(frozen=True)
class AtRate:
    """The figures at one rate (requests a second). ``missed``: what of the SLO was not kept, in words; empty when it was."""

    rate: float
    requests: int
    failed: int
    answered_per_s: float
    tokens_per_s: float
    ttft_ms: Quantiles
    tpot_ms: Quantiles
    total_ms: Quantiles
    problems: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadFigures:
    """A whole load test. ``prompts`` is how many different ones it asked, ``max_tokens`` what an answer could have."""

    version: int
    rates: tuple[AtRate, ...]
    slo: Mapping[str, float | None]
    prompts: int = 0
    max_tokens: int = 0
    seconds: float = 0.0

    @property
    def best_rate(self) -> float | None:
        """The highest rate up to which every one kept the SLO; None when the first one missed it."""
        best = None
        for one in self.rates:
            if one.missed:
                break
            best = one.rate
        return best

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        return asdict(self) | {"best_rate": self.best_rate}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadFigures:
        """ValueError, KeyError or TypeError for what is none."""
        rates = tuple(AtRate(**{**one, "problems": tuple(one["problems"]), "missed": tuple(one["missed"])}) for one in data["rates"])
        return cls(**{**{name: value for name, value in data.items() if name != "best_rate"}, "rates": rates})


def at_rate(rate: float, sent: Sequence[Sent], took_s: float, slo: Slo) -> AtRate:
    """The figures of the requests sent at ``rate``, which took ``took_s`` seconds from the first one's time to the last one's end."""
    good = [one for one in sent if not one.problem]
    problems = Counter(one.problem for one in sent if one.problem).most_common(MAX_PROBLEMS)
    failed, per_s = len(sent) - len(good), 1 / max(took_s, 1e-9)
    found = AtRate(
        rate,
        requests=len(sent),
        failed=failed,
        answered_per_s=round(len(good) * per_s, 3),
        tokens_per_s=round(sum(one.tokens for one in good) * per_s, 2),
        ttft_ms=_quantiles([one.first_s for one in good]),
        tpot_ms=_quantiles([one.tpot_s for one in good]),
        total_ms=_quantiles([one.total_s for one in good]),
        problems=tuple(f"{problem} ({count} times)" for problem, count in problems),
    )
    return replace(found, missed=tuple(_missed(found, slo)))


def _missed(found: AtRate, slo: Slo) -> list[str]:
    """What of the SLO was not kept. An answer that never came is no latency: the share of failures has its own bound."""
    missed = []
    share = found.failed / max(found.requests, 1)
    if share > slo.max_error_rate or found.failed == found.requests:
        missed.append(f"{share:.1%} failed (at most {slo.max_error_rate:.1%})")
    limits = (
        ("first token", found.ttft_ms, slo.ttft_ms),
        ("time per token", found.tpot_ms, slo.tpot_ms),
        ("answer", found.total_ms, slo.p99_ms),
    )
    for name, quantiles, limit in limits:
        p99 = quantiles["p99"]
        if limit is not None and p99 is not None and p99 > limit:
            missed.append(f"{name}: p99 {p99:.4g} ms (at most {limit:g})")
    return missed


def judge(found: LoadFigures, min_rate: float | None, champion: LoadFigures | None = None) -> Verdict:
    """FAIL when ``min_rate`` was not kept, PASS otherwise: then the canary decides. The evidence holds both versions' figures."""
    best = found.best_rate
    kept = f"{best:g} requests a second" if best is not None else "none of the rates"
    passed = min_rate is None or (best is not None and best >= min_rate)
    last = found.rates[-1]
    reasons = [f"Within the SLO up to {kept}" + (f"; at {last.rate:g} a second: {', '.join(last.missed)}." if last.missed else ".")]
    if champion is not None:
        theirs = f"{champion.best_rate:g}" if champion.best_rate is not None else "none of its rates"
        same = [one.rate for one in champion.rates] == [one.rate for one in found.rates] and champion.slo == found.slo
        how = "" if same else ", measured by other rates or limits"
        reasons.append(f"The champion (version {champion.version}) kept it up to {theirs}{how}.")
    if not passed:
        reasons.insert(0, f"{min_rate:g} requests a second were wanted.")
    rule = Rule(
        "highest rate within the SLO", passed, kept, f"at least {min_rate:g}" if min_rate is not None else "", "; ".join(last.missed)
    )
    evidence = {"load_test": found.to_json(), "champion": champion.to_json() if champion else None, "min_rate": min_rate}
    return Verdict(Decision.PASS if passed else Decision.FAIL, tuple(reasons), (rule,), evidence)


def recompute(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict again from its stored evidence."""
    theirs = evidence["champion"]
    return judge(LoadFigures.from_json(evidence["load_test"]), evidence["min_rate"], LoadFigures.from_json(theirs) if theirs else None)


def _quantiles(seconds: Sequence[float | None]) -> dict[str, float | None]:
    """By nearest rank: of fewer than a hundred values the 99th percentile is the highest."""
    known = sorted(value for value in seconds if value is not None)
    return {name: round(known[math.ceil(share * len(known)) - 1] * 1000, 3) if known else None for name, share in QUANTILES.items()}
