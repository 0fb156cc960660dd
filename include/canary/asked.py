"""Live prompts that both arms of a trial were asked, and whose answers were the better ones.

The counts of :class:`Asked` are all that the tests need. A test is a bet against "the share is at most ``margin``" that never stakes more
than it has: its worth is a product of factors whose mean is at most 1 as long as that is true, so it reaches 1/alpha with chance alpha at
most, however often one looks (Ville 1939; betting on bounded means: Waudby-Smith and Ramdas, JRSS B 86, 2024). A mixture over the size of
the stakes needs no tuning. Nothing is assumed of the prompts but that each is drawn without a look at its answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

SHOWN = 20
"""Examples that are kept of a trial."""
STAKES = tuple(number / 16 for number in range(1, 16))
"""Shares of the largest stake that cannot lose everything."""
_BISECTIONS = 30


@dataclass(frozen=True)
class Example:
    """A prompt that stable answered better; ``reference`` is empty where no right answer is known."""

    prompt: str
    reference: str
    stable: str
    canary: str


@dataclass(frozen=True)
class Asked:
    """``prompts`` were asked of both arms. Of those with a known right answer (``known``), the canary alone had ``lost`` wrong and
    ``gained`` right, and both had ``right``. ``unlike`` is how often the arms' answers differ; ``fell`` and ``rose``, how often only the
    canary (only stable) gave no usable answer: none at all, one cut off, a refusal.
    """

    prompts: int = 0
    known: int = 0
    right: int = 0
    lost: int = 0
    gained: int = 0
    unlike: int = 0
    fell: int = 0
    rose: int = 0
    examples: tuple[Example, ...] = ()

    def __add__(self, other: Asked) -> Asked:
        sums = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        # Those with a known right answer first: they say most.
        examples = sorted((*self.examples, *other.examples), key=lambda example: not example.reference)
        return Asked(**sums, examples=tuple(examples[:SHOWN]))

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"examples": [asdict(example) for example in self.examples]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Asked:
        return cls(**{name: data[name] for name in _COUNTS}, examples=tuple(Example(**example) for example in data["examples"]))


NOTHING = Asked()
_COUNTS = tuple(field.name for field in fields(Asked) if field.name != "examples")


def log_worth(worse: int, same: int, better: int, margin: float) -> float:
    """Logarithm of what the bet against "worse by at most ``margin``" is worth after so many prompts of each outcome."""
    logs = []
    for stake in STAKES:
        size = stake / (1 + margin)
        logs.append(worse * math.log1p(size * (1 - margin)) + same * math.log1p(-size * margin) + better * math.log1p(-size * (1 + margin)))
    most = max(logs)
    return most + math.log(sum(math.exp(value - most) for value in logs) / len(logs))


def crossed(worse: int, same: int, better: int, margin: float, alpha: float) -> bool:
    """Whether "worse by at most ``margin``" (a difference of shares) is refuted at level ``alpha``, at this look or any."""
    return log_worth(worse, same, better, margin) >= -math.log(alpha)


def lower(worse: int, same: int, better: int, alpha: float) -> float:
    """The largest difference of shares that is refuted, in -1..1: the canary is worse by at least this."""
    low, high = -1 + 1e-9, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if crossed(worse, same, better, middle, alpha):
            low = middle
        else:
            high = middle
    return low
