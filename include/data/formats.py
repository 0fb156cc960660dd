"""Texts that are numbers or dates in the form of some country: found by their looks, with the setting that reads them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOSTLY = 0.9
"""Share of a column's values that must have the form."""
_NUMBER = r"[+-]?(?:\d{1,3}(?:[.,' \u00a0\u202f]\d{3})+|\d+)(?:[.,]\d+)?"
_SIGNS = r"€|\$|£|¥|₹|EUR|USD|GBP|CHF"
_MEASURES = r"kg|g|mg|t|lbs?|oz|km|m|cm|mm|mi|ft|l|ml|kWh|kW|W|°C|°F|[KMGT]i?B|ms|s|min|h|hrs?|hours|days?|years?|yrs?"
_MONTHS = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"


@dataclass(frozen=True)
class Format:
    """A form of writing: ``what`` names it, ``setting`` is what reads it in a CSV file; empty where nothing does."""

    what: str
    pattern: re.Pattern[str]
    setting: str = ""


FORMATS = (
    Format("dates", re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"), "dates: [{name}]"),
    Format("dates", re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}(?: \d{2}:\d{2}(?::\d{2})?)?"), "dates: {{{name}: '%d.%m.%Y'}}"),
    Format("dates", re.compile(r"\d{1,4}/\d{1,2}/\d{1,4}(?: \d{2}:\d{2}(?::\d{2})?)?"), "dates: {{{name}: '{slashed}'}}"),
    Format(
        "dates",
        re.compile(r"(?:[0-2]?\d|3[01])-(?:[0-2]?\d|3[01])-(?:19|20)\d\d(?: \d{2}:\d{2}(?::\d{2})?)?"),
        "dates: {{{name}: '{dashed}'}}",
    ),
    Format("dates", re.compile(rf"\d{{1,2}}[ -]{_MONTHS}[ -]\d{{2,4}}"), "dates: {{{name}: '%d %b %Y'}}"),
    Format("dates", re.compile(rf"{_MONTHS} \d{{1,2}},? \d{{4}}"), "dates: {{{name}: '%b %d, %Y'}}"),
    Format("times or durations", re.compile(r"\d{1,3}:[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?: ?[AaPp][Mm])?")),
    Format("numbers with a per cent sign", re.compile(rf"{_NUMBER}\s?%"), "units: ['%']"),
    Format("amounts with a currency", re.compile(rf"[+-]?(?:{_SIGNS})\s?{_NUMBER}|{_NUMBER}\s?(?:{_SIGNS})"), "units: ['{sign}']"),
    Format("numbers with '.' between thousands", re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?"), "thousands: '.', decimal: ','"),
    Format("numbers with ',' between thousands", re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"), "thousands: ','"),
    Format("numbers with a decimal comma", re.compile(r"[+-]?\d*,\d+"), "decimal: ','"),
    Format("numbers with a unit", re.compile(rf"{_NUMBER}\s?(?:{_MEASURES})"), "units: ['{sign}']"),
    Format("numbers in thousands or millions", re.compile(rf"{_NUMBER}\s?(?:[kKM]|mio|bn)")),
    Format("negative numbers in parentheses, or with the sign behind", re.compile(rf"\({_NUMBER}\)|{_NUMBER}-")),
    Format("numbers with a typographic minus sign", re.compile(rf"[\u2212\u2013]{_NUMBER}")),
    Format("numbers with underscores", re.compile(r"[+-]?\d+(?:_\d{3})+(?:\.\d+)?")),
    Format("fractions", re.compile(r"\d+/\d+")),
    Format("numbers in other digits than 0 to 9", re.compile(r"[+-]?(?=.*[^\x00-\x7f])\d+(?:[.,\u066b]\d+)?")),
    Format("numbers with gaps between thousands", re.compile(r"[+-]?\d{1,3}(?:[' \u00a0\u202f]\d{3})+(?:[.,]\d+)?"), "thousands: '{gap}'"),
)
"""Looked for in this order: what a date is, is no number."""
_PLAIN = re.compile(r"[+-]?[0-9]*\.?[0-9]+")
MONTHS, MONTH_LETTERS = 12, 3
FIRST = 10_000
"""Values of a column that are looked at."""


@dataclass(frozen=True)
class Found:
    what: str
    value: str
    setting: str
    """Empty where no setting reads them."""


def find(name: str, values: list[str]) -> Found | None:
    """The form that nearly all of ``values`` of the column ``name`` have, one at least beyond a plain number; None when they have none."""
    looked = [value.strip() for value in values[:FIRST]]
    for form in FORMATS:
        own = next((value for value in looked if form.pattern.fullmatch(value)), None)
        if own is None:
            continue
        fit = sum(1 for value in looked if form.pattern.fullmatch(value) or _PLAIN.fullmatch(value))
        if fit >= MOSTLY * len(looked):
            return Found(form.what, own, _setting(form, name, own, looked))
    return None


def _setting(form: Format, name: str, value: str, values: list[str]) -> str:
    """What reads ``values`` of ``form``; empty where nothing does."""
    units = sorted({found[0] for one in values if (found := re.search(rf"(?<=[\d\s])(?:{_MEASURES})$", one))})
    if form.what == "numbers with a unit" and len(units) != 1:
        return ""
    sign, gap = re.search(_SIGNS, value), re.search(r"(?<=\d)[' \u00a0\u202f](?=\d)", value)
    own = sign[0] if sign else units[0] if units else ""
    slashed = _slashed(values)
    setting = form.setting.format(name=name, sign=own, gap=gap[0] if gap else "", slashed=slashed, dashed=slashed.replace("/", "-"))
    if form.what != "dates" or "%" not in setting:
        return setting
    head, _, rest = setting.partition(": '")
    return head + ": '" + _as_written(rest.removesuffix("'}"), value) + "'}"


def _as_written(form: str, value: str) -> str:
    """A form of dates with the digits of the year, the length of the month's name, the mark and the time of day that ``value`` has."""
    clock = re.search(r" \d{2}:\d{2}(:\d{2})?$", value)
    day = value[: clock.start()] if clock else value
    if form.endswith("%Y") and re.search(r"(?<!\d)\d{2}$", day):
        form = form.removesuffix("%Y") + "%y"
    if "%b" in form:
        name = re.search(r"[A-Za-z]+", day)
        form = form.replace("%b", "%B") if name and len(name[0]) > MONTH_LETTERS else form
        form = form.replace(" ", "-") if "-" in day else form
        form = form if "," in day else form.replace(",", "")
    return form + (" %H:%M" + (":%S" if clock[1] else "") if clock else "")


def undecided(values: list[str]) -> bool:
    """Whether nothing in dates with slashes or dashes tells the day from the month: both could be months everywhere."""
    found = _parts(values)
    return bool(found) and all(part.isdigit() and int(part) <= MONTHS for parts in found for part in parts[:2])


def _parts(values: list[str]) -> list[list[str]]:
    dates = [value.strip().split(" ")[0].replace("-", "/") for value in values]
    return [date.split("/") for date in dates if date.count("/") == 2]


def _slashed(values: list[str]) -> str:
    """The form of dates with slashes: the day first where some first part is no month."""
    parts = _parts(values)
    if any(len(part[0]) == 4 for part in parts):
        return "%Y/%m/%d"
    return "%d/%m/%Y" if any(part[0].isdigit() and int(part[0]) > MONTHS for part in parts) else "%m/%d/%Y"
