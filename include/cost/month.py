"""A calendar month in UTC, by which costs are told and budgets begin anew. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from include.errors import InputError

FORM = r"^\d{4}-(0[1-9]|1[0-2])$"


@dataclass(frozen=True, order=True)
class Month:
    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``2026-12``. Raises InputError."""
        if not re.match(FORM, text) or text.startswith("0000"):
            raise InputError(f"{text!r:.40} is no month.", where="month", remedy="Write year and month, such as 2026-12.")
        return cls(int(text[:4]), int(text[5:]))

    @classmethod
    def of(cls, at: float) -> Month:
        """Return the month of a time (seconds since the epoch)."""
        when = datetime.fromtimestamp(at, UTC)
        return cls(when.year, when.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def next(self) -> Month:
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def begin(self) -> float:
        """Its first moment, in seconds since the epoch."""
        return datetime(self.year, self.number, 1, tzinfo=UTC).timestamp()

    @property
    def end(self) -> float:
        """The first moment of the month after."""
        return self.next.begin

    def has_day(self, day: str) -> bool:
        """Tell whether an ISO day (``2026-12-01``) is in it."""
        return day.startswith(f"{self}-")
