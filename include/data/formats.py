"""Texts that are numbers or dates in the form of some country: found by their looks, with the setting that reads them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOSTLY = 0.9
"""Share of a column's values that must have the form."""
_NUMBER = r"[+-]?(?:\d{1,3}(?:[.,' \u00a0\u202f]\d{3})+|\d+)(?:[.,]\d+)?"
_SIGNS = r"€|\$|£|¥|₹|EUR|USD|GBP|CHF"


@dataclass(frozen=True)
class Format:
    """A form of writing: ``what`` names it, ``setting`` is what reads it in a CSV file."""

    what: str
    pattern: re.Pattern[str]
    setting: str


FORMATS = (
    Format("dates", re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"), "dates: [{name}]"),
    Format("dates", re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}(?: \d{2}:\d{2}(?::\d{2})?)?"), "dates: {{{name}: '%d.%m.%Y'}}"),
    Format("dates", re.compile(r"\d{1,4}/\d{1,2}/\d{1,4}(?: \d{2}:\d{2}(?::\d{2})?)?"), "dates: {{{name}: '%m/%d/%Y'}}"),
    Format("numbers with a per cent sign", re.compile(rf"{_NUMBER}\s?%"), "units: ['%']"),
    Format("amounts with a currency", re.compile(rf"[+-]?(?:{_SIGNS})\s?{_NUMBER}|{_NUMBER}\s?(?:{_SIGNS})"), "units: ['{sign}']"),
    Format("numbers with '.' between thousands", re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?"), "thousands: '.', decimal: ','"),
    Format("numbers with ',' between thousands", re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"), "thousands: ','"),
    Format("numbers with a decimal comma", re.compile(r"[+-]?\d*,\d+"), "decimal: ','"),
    Format("numbers with gaps between thousands", re.compile(r"[+-]?\d{1,3}(?:[' \u00a0\u202f]\d{3})+(?:[.,]\d+)?"), "thousands: '{gap}'"),
)
"""Looked for in this order: what a date is, is no number."""
_PLAIN = re.compile(r"[+-]?\d+(?:\.\d+)?")
FIRST = 10_000
"""Values of a column that are looked at."""


@dataclass(frozen=True)
class Found:
    what: str
    value: str
    setting: str


def find(name: str, values: list[str]) -> Found | None:
    """The form that nearly all of ``values`` of the column ``name`` have, one at least beyond a plain number; None when they have none."""
    looked = [value.strip() for value in values[:FIRST]]
    for form in FORMATS:
        own = next((value for value in looked if form.pattern.fullmatch(value)), None)
        if own is None:
            continue
        fit = sum(1 for value in looked if form.pattern.fullmatch(value) or _PLAIN.fullmatch(value))
        if fit >= MOSTLY * len(looked):
            sign = re.search(_SIGNS, own)
            gap = re.search(r"(?<=\d)[' \u00a0\u202f](?=\d)", own)
            return Found(form.what, own, form.setting.format(name=name, sign=sign[0] if sign else "", gap=gap[0] if gap else ""))
    return None
