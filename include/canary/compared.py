"""Rows of live requests that both arms of a table's trial have answered, and how often the two answers differed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SHOWN = 20
"""Examples that are kept of a trial."""


@dataclass(frozen=True)
class Pair:
    """A row that the arms answered differently; each text is bounded in length by whoever compares."""

    row: str
    stable: str
    canary: str


@dataclass(frozen=True)
class Compared:
    """Of ``rows``, one of each live request, the arms answered ``differ`` differently."""

    rows: int = 0
    differ: int = 0
    examples: tuple[Pair, ...] = ()

    def __add__(self, other: Compared) -> Compared:
        return Compared(self.rows + other.rows, self.differ + other.differ, (*self.examples, *other.examples)[:SHOWN])

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "differ": self.differ, "examples": [asdict(pair) for pair in self.examples]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Compared:
        return cls(data["rows"], data["differ"], tuple(Pair(**pair) for pair in data["examples"]))


NO_ROWS = Compared()
