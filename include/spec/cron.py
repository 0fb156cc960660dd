"""Five-field cron expressions: are they ones that will ever fire? The check is our own, so that it is the same in every runtime."""

from __future__ import annotations

import re

PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(?P<from>\*|[a-z]{3}|[0-9]{1,2})(-(?P<to>[a-z]{3}|[0-9]{1,2}))?(/(?P<step>[0-9]{1,2}))?")


def fault(expression: str) -> str | None:
    """Why ``expression`` is neither a preset nor a cron expression that fires some day; None when it is."""
    if expression in PRESETS:
        return None
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        return f"{expression[:80]!r} is no cron expression: it has {len(fields)} fields, not 5."
    values: list[set[int]] = []
    for text, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        numbers = _numbers(text.lower(), low, high, words)
        if not numbers:
            return f"{text[:40]!r} is no {name} ({low}-{high}, `*`, lists, ranges a-b, steps /n)."
        values.append(numbers)
    _, _, days, months, _ = values
    if fields[4] == "*" and not any(day <= _DAYS_IN_MONTH[month - 1] for month in months for day in days):
        return f"{expression!r} never fires: no such day in these months."
    return None


def _numbers(text: str, low: int, high: int, words: dict[str, int]) -> set[int]:
    """The values that one field stands for; empty when it is malformed."""
    out: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            return set()
        numbers = _item(match, low, high, words)
        if not numbers:
            return set()
        out |= numbers
    return out


def _item(match: re.Match[str], low: int, high: int, words: dict[str, int]) -> set[int]:
    def number(text: str) -> int:
        return words[text] if text in words else int(text) if text.isdigit() else -1

    step = int(match["step"] or 1)
    if match["from"] == "*":
        first, last = (low, high) if match["to"] is None else (1, 0)
    else:
        first = number(match["from"])
        last = number(match["to"]) if match["to"] else high if match["step"] else first
    if not low <= first <= last <= high or not 1 <= step <= high:
        return set()
    return set(range(first, last + 1, step))
