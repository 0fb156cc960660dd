"""Which form of a model is served: the fastest that answers as the original does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from include.errors import InputError
from include.gates.evaluation import Comparison
from include.kinds.forms.candidates import PLAIN, Candidate
from include.kinds.forms.speed import Speed, faster
from include.steps.bars import Bars
from include.verdict import Decision, Rule, Verdict


@dataclass(frozen=True)
class Judged:
    """A candidate with what was found about it; figures are None where it could not be built or loaded no further."""

    candidate: Candidate
    mismatches: tuple[str, ...] = ()
    score: Comparison | None = None
    size_bytes: int | None = None
    speed: Speed | None = None
    on: str = ""
    """What it was measured on, when that was no processor."""

    @property
    def name(self) -> str:
        return self.candidate.name

    def accurate(self, max_score_drop: float) -> bool:
        """Whether it answers as the original does: golden inputs, and the held-out score."""
        return self.candidate.file is not None and not self.mismatches and self._drop() <= max_score_drop

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        speed = asdict(self.speed) | {"p50_us": {str(size): value for size, value in self.speed.p50_us.items()}} if self.speed else None
        return asdict(self) | {"mismatches": list(self.mismatches), "speed": speed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Judged:
        return cls(
            Candidate.from_json(data["candidate"]),
            tuple(data["mismatches"]),
            Comparison.from_json(data["score"]) if data["score"] else None,
            data["size_bytes"],
            Speed.from_json(data["speed"]) if data["speed"] else None,
            data["on"],
        )

    def _drop(self) -> float:
        known = self.score is not None and self.score.difference is not None
        return -self.score.difference if known and self.score and self.score.difference is not None else float("inf")


def decide(judged: Sequence[Judged], limits: Bars) -> Verdict:
    """PASS with the chosen candidate's name as evidence. Pure. InputError when the plain export is not the model."""
    plain = next(one for one in judged if one.name == PLAIN)
    if not plain.accurate(limits.max_score_drop):
        found = "; ".join(plain.mismatches) or f"its score is {plain.score.difference if plain.score else None} beside the original's"
        raise InputError(
            f"the ONNX export does not answer as the model does: {found}.",
            where="optimize",
            remedy="Replace the part of the model whose conversion is inexact, or train it on scaled features.",
        )
    rules = [rule for one in judged for rule in _rules(one, limits)]
    good = [one for one in judged if one.accurate(limits.max_score_drop) and one.speed and one.speed.low >= limits.min_speedup]
    fast = [one for one in good if one is not plain and one.speed]
    chosen = _fastest(fast, plain)
    portable = chosen
    if chosen.candidate.plan:
        portable = _fastest([one for one in fast if not one.candidate.plan and not one.candidate.lossy], plain)
    why = (
        f"{chosen.speed.speedup:.2f} times as fast as the plain export [{chosen.speed.low:.2f}, {chosen.speed.high:.2f}]"
        if chosen.speed and chosen is not plain
        else f"no other form passes parity and is {faster(limits.min_speedup)}"
    )
    reasons = (
        f"{chosen.name} is served: {why}.",
        *(f"{one.name} was not made: {one.candidate.reason}." for one in judged if not one.candidate.file),
    )
    evidence = {"chosen": chosen.name, "portable": portable.name, "bars": asdict(limits), "forms": [one.to_json() for one in judged]}
    return Verdict(Decision.PASS, reasons, tuple(rules), evidence)


def recompute(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict again from its stored evidence."""
    return decide([Judged.from_json(form) for form in evidence["forms"]], Bars(**evidence["bars"]))


def _fastest(judged: list[Judged], plain: Judged) -> Judged:
    return max(judged, key=lambda one: one.speed.speedup if one.speed else 0.0) if judged else plain


def _rules(one: Judged, limits: Bars) -> list[Rule]:
    allowed = one.candidate.tolerance
    if one.candidate.file is None or one.speed is None or one.score is None:
        return [Rule(f"{one.name}: available", None, "not made", "a file", one.candidate.reason)]
    difference, speed = one.score.difference, one.speed
    rules = [
        Rule(
            f"{one.name}: golden inputs",
            not one.mismatches,
            f"{len(one.mismatches)} outputs differ" if one.mismatches else "all as the original",
            f"within {allowed.absolute:.3g}" + (f" + {allowed.relative:.3g} of the value" if allowed.relative else ""),
            "; ".join(one.mismatches),
        ),
        Rule(
            f"{one.name}: score",
            difference is not None and -difference <= limits.max_score_drop,
            one.score.figure if difference is None else f"{one.score.figure} {one.score.metric}",
            f"at least {-limits.max_score_drop:+g}",
            f"{one.score.rows} held-out rows; {one.score.method}",
        ),
    ]
    if one.name != PLAIN:
        figure = f"{speed.speedup:.2f} [{speed.low:.2f}, {speed.high:.2f}]"
        rules.append(Rule(f"{one.name}: speed-up", speed.low >= limits.min_speedup, figure, faster(limits.min_speedup)))
    return rules


def row(one: Judged, max_score_drop: float) -> dict[str, Any]:
    """Return a form as `optimization.json` and the report have it."""
    return {
        "name": one.name,
        "available": one.candidate.file is not None,
        "reason": one.candidate.reason,
        "on": one.on,
        "accurate": one.accurate(max_score_drop),
        "mismatches": list(one.mismatches),
        "score": asdict(one.score) if one.score else None,
        "size_bytes": one.size_bytes,
        "p50_us": {str(size): value for size, value in one.speed.p50_us.items()} if one.speed else None,
        "speedup": [one.speed.speedup, one.speed.low, one.speed.high] if one.speed else None,
    }


def figures(judged: Sequence[Judged]) -> Mapping[str, float | None]:
    """Return sizes, speed-ups and times of all forms, as MLflow has them."""
    found: dict[str, float | None] = {}
    for one in judged:
        if one.speed is None:
            continue
        found |= {f"{one.name}_size_bytes": one.size_bytes, f"{one.name}_speedup": one.speed.speedup}
        found |= {f"{one.name}_p50_us_batch_{size}": value for size, value in one.speed.p50_us.items()}
    return found
