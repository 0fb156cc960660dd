"""Which rows people are asked about in a round. Pure: chance comes in as a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.spec.label import Strategy

CONTROL = "control"
"""The arm that is drawn at random from all rows."""


@dataclass(frozen=True)
class Candidate:
    """A row that nobody has labelled. ``answers``: what each version said of it, the champion's first; ``probabilities``: the champion's.
    ``request``: the request's id, of a row of the log. ``strange``: the share of its values that are rare or new beside the known rows'."""

    key: str
    row: Mapping[str, Any]
    answers: Mapping[int, Any] = field(default_factory=dict)
    probabilities: Sequence[float] = ()
    request: str = ""
    strange: float = 0.0

    @property
    def margin(self) -> float | None:
        """How much surer the champion is of its answer than of the next class, 0..1; None where that is not known."""
        if len(self.probabilities) < 2:
            return None
        first, second = sorted(self.probabilities, reverse=True)[:2]
        return first - second

    @property
    def disputed(self) -> bool:
        """Whether two versions answer it differently."""
        return len({repr(answer) for answer in self.answers.values()}) > 1


@dataclass(frozen=True)
class Chosen:
    """A row that is asked about. ``arm``: the control arm, or the strategy that it was chosen by."""

    candidate: Candidate
    arm: str
    why: str


def choose(candidates: Sequence[Candidate], count: int, strategies: Sequence[Strategy], control: float, seed: str) -> list[Chosen]:
    """Return up to ``count`` of the ``candidates``, each once: the control arm's first, a sample of all of them; then in equal parts what
    the strategies choose of the rest. A strategy that finds too little leaves its places to those behind it, the last one to nobody."""
    rng = random.Random(seed)
    order = sorted(candidates, key=lambda one: one.key)
    rng.shuffle(order)
    count = min(count, len(order))
    drawn = round(count * control) or (1 if control and count else 0)
    found = [Chosen(one, CONTROL, "drawn at random") for one in order[:drawn]]
    rest = order[drawn:]
    for number, strategy in enumerate(strategies):
        places = (count - len(found)) // (len(strategies) - number)
        picked = _BY[strategy](rest)[:places]
        taken = {one.candidate.key for one in picked}
        found += picked
        rest = [one for one in rest if one.key not in taken]
    return found


def _uncertain(rest: Sequence[Candidate]) -> list[Chosen]:
    known = sorted((one.margin, place) for place, one in enumerate(rest) if one.margin is not None)
    return [Chosen(rest[place], Strategy.UNCERTAIN, f"the two likeliest classes are {margin:.1%} apart") for margin, place in known]


def _disagreeing(rest: Sequence[Candidate]) -> list[Chosen]:
    return [Chosen(one, Strategy.DISAGREEING, _versions(one)) for one in rest if one.disputed]


def _versions(one: Candidate) -> str:
    return ", ".join(f"version {version}: {str(answer)[:40]}" for version, answer in one.answers.items())


def _drifted(rest: Sequence[Candidate]) -> list[Chosen]:
    order = sorted((-one.strange, place) for place, one in enumerate(rest) if one.strange > 0)
    return [Chosen(rest[place], Strategy.DRIFTED, f"{-strange:.0%} of its values are rare or new") for strange, place in order]


def _random(rest: Sequence[Candidate]) -> list[Chosen]:
    return [Chosen(one, Strategy.RANDOM, "drawn at random") for one in rest]


_BY: dict[Strategy, Callable[[Sequence[Candidate]], list[Chosen]]] = {
    Strategy.UNCERTAIN: _uncertain,
    Strategy.DISAGREEING: _disagreeing,
    Strategy.DRIFTED: _drifted,
    Strategy.RANDOM: _random,
}
