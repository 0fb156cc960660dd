"""How the columns of a CSV file are written: read again and again, with each setting that a column asks for, until none asks for more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from include.data import csv_file, formats, zones
from include.data.table import FEW_WORDS, HALF
from include.spec.data import Csv

if TYPE_CHECKING:
    import pandas as pd

ROUNDS = 5
MISSING = frozenset(
    [
        "na",
        "n/a",
        "n.a.",
        "nan",
        "null",
        "none",
        "nil",
        "missing",
        "unknown",
        "undefined",
        "empty",
        "k.a.",
        "unbekannt",
        "fehlt",
        "inconnu",
        "desconocido",
    ]
)
"""Words that say that there is no value; so does what holds no letter and no digit."""
KNOWN = "DECIMAL=, (data.csv.decimal)."
"""How somebody says it who knows."""
LISTS = ("missing", "text", "units")


def settle(path: Path, raw: bytes, first: Csv) -> tuple[pd.DataFrame, list[str], Csv]:
    """The table in ``raw``, what is said of it, and the settings that it was read with, beginning with ``first``. Raises InputError."""
    options = first
    frame, notes = csv_file.parse(path, raw, options)
    written = frame
    for _ in range(ROUNDS):
        asked = merged(options, wishes(frame, options))
        if asked == options:
            break
        frame, notes = csv_file.parse(path, raw, asked)
        options = asked
    notes += _dated(written, first, options) + _guessed(written, options) + _dotted(path, raw, frame, options)
    if options.missing:
        notes.append(f"{', '.join(map(repr, options.missing))} among numbers: taken for missing, in every column (data.csv.missing).")
    return frame, notes, options


def wishes(frame: pd.DataFrame, options: Csv) -> list[dict[str, Any]]:
    """The settings that columns of texts ask for, each as a part of ``data.csv``: numbers, dates, units, words for something missing."""
    found: list[dict[str, Any]] = []
    for name in map(str, frame.columns):
        column = frame[name]
        if column.dtype != object or name in options.text:
            continue
        known = [value for value in column.dropna() if isinstance(value, str) and value]
        form = formats.find(name, known)
        if form is not None and form.what == "dates" and not zones.alike(column):
            continue  # nothing can read them: they stay texts, and are told as such
        if form is not None and form.setting:
            found.append(_day_first(_german(_parsed(name, form.setting), known, options), known, options))
        elif form is None and (words := _words(known)):
            found.append({"missing": words})
    return found


def _german(wish: dict[str, Any], values: list[str], options: Csv) -> dict[str, Any]:
    """``1,234`` is a number with three decimals where semicolons separate fields or some value begins with ``0,``, unless one of the values
    can be nothing but thousands."""
    if wish.get("thousands") != ",":
        return wish
    thousands = any(value.count(",") > 1 or "." in value for value in values)
    decimals = options.separator == ";" or options.decimal == "," or any(re.match(r"[+-]?0,", value.strip()) for value in values)
    return {"decimal": ","} if decimals and not thousands else wish


def _day_first(wish: dict[str, Any], values: list[str], options: Csv) -> dict[str, Any]:
    """In dates such as ``03/04/2024`` the day stands first in a file with semicolons or decimal commas, where nothing else decides it."""
    if "dates" not in wish or not (options.separator == ";" or options.decimal == ",") or not formats.undecided(values):
        return wish
    return {"dates": {name: form and _swapped(form) if str(form).startswith("%m") else form for name, form in wish["dates"].items()}}


def _swapped(form: str) -> str:
    """A form of dates with the day where the month stands, and the other way about."""
    return form.translate(str.maketrans("dm", "md"))


def _dated(written: pd.DataFrame, first: Csv, options: Csv) -> list[str]:
    """What is said of columns of dates whose day could as well be their month."""
    found = []
    for name, form in options.date_formats.items():
        known = [value for value in written[name].dropna() if isinstance(value, str)] if name not in first.date_formats else []
        if form is None or not formats.undecided(known):
            continue
        order = "month" if form.startswith("%m") else "day"
        remedy = f"data.csv.dates: {{{name}: '{_swapped(form)}'}}"
        found.append(f"column {name!r}: in {known[0]} the {order} is taken to stand first; if it does not: {remedy}.")
    return found


def _guessed(written: pd.DataFrame, options: Csv) -> list[str]:
    """What is said of columns whose commas could stand before decimals as well, where they were taken for thousands."""
    if options.thousands != ",":
        return []
    found = []
    for name in map(str, written.columns):
        known = [value.strip() for value in written[name].dropna() if isinstance(value, str)] if written[name].dtype == object else []
        commas = [value for value in known if "," in value]
        if name not in options.text and commas and all(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})?", value) for value in known):
            read = commas[0].replace(",", "")
            found.append(f"column {name!r}: {commas[0]} is read as {read}; if its comma stands before decimals: {KNOWN}")
    return found


def _dotted(path: Path, raw: bytes, frame: pd.DataFrame, options: Csv) -> list[str]:
    """What is said of columns whose dots could stand between thousands, in a file with semicolons: where it was written, they mostly do."""
    names = [str(name) for name in frame.columns if frame[name].dtype.kind == "f"]
    if options.separator != ";" or options.decimal != "." or options.thousands is not None or not names:
        return []
    written, _ = csv_file.parse(path, raw, options.model_copy(update={"text": (*options.text, *names)}))
    found = []
    for name in names:
        known = [str(value).strip() for value in written[name][frame[name].notna()]]
        dots = [value for value in known if "." in value]
        if dots and all(re.fullmatch(r"[+-]?(?!0\.)\d{1,3}(\.\d{3})?", value) for value in known):
            read = float(dots[0])
            found.append(f"column {name!r}: {dots[0]} is read as {read}; if its dot stands between thousands: {KNOWN}")
    return found


def _parsed(name: str, setting: str) -> dict[str, Any]:
    """A setting as :mod:`include.data.formats` writes it, as a value; the column's name stands in it unquoted."""
    field, _, value = setting.partition(": ")
    if field == "dates":
        form = value.removeprefix("{" + name + ": ").removesuffix("}").strip("'")
        return {"dates": {name: None if value.startswith("[") else form}}
    parsed: dict[str, Any] = yaml.safe_load("{" + setting + "}")
    return parsed


def _words(values: list[str]) -> list[str]:
    """The few different words among numbers that stand for something missing; none where there are others: XL among 38 and 40 is a size."""
    import pandas as pd

    column = pd.Series(values, dtype=object)
    stray = column[pd.to_numeric(column, errors="coerce").isna()]
    few = 0 < stray.nunique() <= FEW_WORDS and len(stray) <= HALF * len(column) and all(map(_says_missing, stray.unique()))
    return sorted(stray.unique()) if few else []


def _says_missing(word: str) -> bool:
    plain = word.strip().casefold()
    return plain in MISSING or not any(letter.isalnum() for letter in plain)


def merged(options: Csv, wishes: list[dict[str, Any]]) -> Csv:
    """``options`` with all ``wishes`` in it; of two that contradict each other the first."""
    values = options.model_dump()
    dates: dict[str, str | None] = dict(options.date_formats)
    single: dict[str, Any] = {}
    for wish in wishes:
        for field, value in wish.items():
            if field == "dates":
                dates |= {name: form for name, form in value.items() if name not in dates}
            elif field in LISTS:
                values[field] = (*values[field], *(one for one in value if one not in values[field]))
            else:
                single.setdefault(field, value)
    values |= {field: value for field, value in single.items() if value != values[field]}
    if values["thousands"] == values["decimal"]:  # that 100,5 is no thousand is certain, that 1,234 is one was a guess
        values["thousands"] = None
    values["dates"] = {name: form or "ISO8601" for name, form in dates.items()}
    return Csv(**values)
