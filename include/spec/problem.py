"""What is wrong in a file that a user wrote, and where: one line a problem."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from include.errors import InputError


@dataclass(frozen=True)
class Problem:
    """One fault. ``line`` and ``column`` count from 1; ``field`` is a path such as ``gate.bars[0].min``, empty for the whole file."""

    path: Path
    message: str
    line: int = 1
    column: int = 1
    field: str = ""
    remedy: str = ""
    allowed: tuple[str, ...] = ()
    nearest: str | None = None

    @property
    def where(self) -> str:
        """File, line and field."""
        return f"{self.path}:{self.line}" + (f": {self.field}" if self.field else "")

    @property
    def advice(self) -> str:
        """What to do about it."""
        advice = self.remedy
        if self.allowed:
            advice = f"{advice} Allowed: {', '.join(self.allowed)}.".lstrip()
        if self.nearest:
            advice = f"Did you mean `{self.nearest}`? {advice}".rstrip()
        return advice

    def __str__(self) -> str:
        return f"{self.where}: {self.message}{' ' + self.advice if self.advice else ''}"


class SpecError(InputError):
    """A file that can't be used; ``problems`` are all that was found, ``str()`` is one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column, problem.field)))
        first = self.problems[0]
        super().__init__(first.message, where=first.where, remedy=first.advice)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that ``name`` was probably meant to be."""
    matches = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.6)
    return matches[0] if matches else None
