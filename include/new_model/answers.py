"""What somebody who makes a new model answers, in the terminal, by arguments or on the page; and what can be told of it at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.spec.parts import NAME
from include.spec.schema import Task

KEYWORDS = frozenset({"schema"})
"""Names that stand in the models' folder for something else."""
MAX_DESCRIPTION = 300


@dataclass(frozen=True)
class Answers:
    """All that is needed; whatever has a default is proposed from the data."""

    name: str
    data: Path
    """The file as it lies here."""
    target: str
    template: str = ""
    """Default: the one that is proposed for so many rows."""
    task: Task | None = None
    team: str = ""
    """Whose it is. Default: that of all models whose specs name none."""
    description: str = ""
    use: tuple[str, ...] | None = None
    """The columns that the model sees. Default: all that nothing speaks against."""
    rules: tuple[int, ...] | None = None
    """The proposed expectations to keep, by their place from 0. Default: all."""
    min_score: float | None = None
    csv: Mapping[str, Any] = field(default_factory=dict)
    """Parts of ``data.csv`` that somebody knows."""
    mend_header: bool = False


def check_name(name: str, models: Path) -> None:
    """InputError unless a new model in the folder ``models`` may have this name."""
    if not re.fullmatch(NAME, name) or name in KEYWORDS:
        near = suggestion(name)
        remedy = "Lower-case letters, digits and underscores, beginning with a letter, at most 48." + (
            f" {near!r} would do." if near else ""
        )
        raise InputError(f"{name[:60]!r} is no name of a model.", where="name", remedy=remedy)
    if os.path.lexists(models / name):
        raise InputError(
            f"there is {models / name} already, which stays as it is.", where="name", remedy="Give the new model another name."
        )


def suggestion(text: str) -> str:
    """A name like ``text`` that a model may have; empty when nothing is left of it."""
    found = re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")[:48].rstrip("_")
    return found if re.fullmatch(NAME, found) and found not in KEYWORDS else f"m_{found}"[:48] if found else ""


def number(text: str, where: str) -> float:
    """A score that somebody wrote. InputError when it is none."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise InputError(f"{text[:40]!r} is no score.", where=where, remedy="Write a number such as 0.8.")
    return value
