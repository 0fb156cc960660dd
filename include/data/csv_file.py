"""A CSV file as a table, with what was read otherwise than it is written, and every fault named by line or column.

Numbers are pandas' own. In a text column only the empty field is missing; ``NA`` and its like are texts there, and missing among numbers.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.data import zones
from include.errors import InputError
from include.spec.data import Csv

if TYPE_CHECKING:
    import pandas as pd

FIELD_LIMIT = 1 << 20
SEPARATORS = (";", "\t", "|")
TRUTH = {"true": True, "false": False}
MISSING_WORDS = frozenset("#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null".split("|"))  # noqa: SIM905
"""What pandas takes for missing; among texts they are texts."""
SHOWN = 3
DIGITS = 15
"""Significant digits of any number that a 64-bit float keeps."""
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SHORT = re.compile(r"[+-]?0*\d+[eE]\d+")
"""A whole number with an exponent: identifiers look like that."""


def parse(path: Path, raw: bytes, options: Csv) -> tuple[pd.DataFrame, list[str]]:
    """The table in ``raw``, and one sentence for each column that is read otherwise than it is written. Raises ``InputError``."""
    import pandas as pd

    text = _decoded(path, raw, options)
    _check_text(path, text)
    header = _check_lines(path, text, options)
    _check_names(header, options)
    settings: dict[str, Any] = {"sep": options.separator, "decimal": options.decimal, "thousands": options.thousands}
    try:
        written = pd.read_csv(io.StringIO(text), sep=options.separator, dtype=str, keep_default_na=False, low_memory=False)
        # pandas' faster reading of floats loses digits of numbers with many zeros.
        settings |= {"na_values": list(options.missing), "float_precision": "round_trip"}
        native = pd.read_csv(io.StringIO(text), low_memory=False, **settings)
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"can't be parsed: {error}", where=str(path), remedy="Correct the CSV.") from None
    notes = [f"column {name!r}: its name has blanks around it, which callers must send too." for name in header if name != name.strip()]
    columns = {name: _column(native[name], written[name], options, notes) for name in native.columns}
    return pd.DataFrame(columns, index=native.index), notes


def _decoded(path: Path, raw: bytes, options: Csv) -> str:
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if raw.startswith(mark) and "16" not in options.encoding:
            what = f"is {name.upper()}, by its first two bytes."
            raise InputError(what, where=str(path), remedy=f"Set `data.csv: {{encoding: {name}}}`, or save the file as UTF-8.")
    utf_8 = options.encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")
    if not utf_8 and not raw.isascii() and "16" not in options.encoding and "32" not in options.encoding and _is_utf_8(raw):
        what = f"is UTF-8: read as {options.encoding.upper()}, each letter beyond ASCII would become two others."
        raise InputError(what, where=str(path), remedy="Take `data.csv.encoding` out.")
    encoding = "utf-8-sig" if utf_8 else options.encoding
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"is not {options.encoding.upper()}: byte 0x{raw[error.start]:02x} at offset {error.start}."
        remedy = "Save the file as UTF-8, or name what it is: `data.csv: {encoding: cp1252}` (Windows, Western Europe), latin-1, ..."
        raise InputError(what, where=f"{path}:{line}", remedy=remedy) from None


def _is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_text(path: Path, text: str) -> None:
    """No line that is none of the table's, and no character at which pandas ends a text."""
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise InputError("holds a NUL character: the rest of its field would be lost.", where=f"{path}:{line}", remedy="Remove it.")
    if text[:4].lower() == "sep=":
        what = "the first line is a spreadsheet's word for its separator, and no header."
        raise InputError(what, where=f"{path}:1", remedy=f"Remove the line, and set `data.csv: {{separator: {text[4:5]!r}}}`.")


def _check_lines(path: Path, text: str, options: Csv) -> list[str]:
    """Every line has the header's number of fields. Pandas itself would fill short lines, and shift the columns of long ones."""
    csv.field_size_limit(FIELD_LIMIT)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=options.separator)
    header: list[str] = []
    try:
        for fields in lines:
            if not header:
                header = fields
                _check_header(path, header)
            elif fields and len(fields) != len(header):
                what = f"{len(fields)} fields where the header has {len(header)}."
                raise InputError(what, where=f"{path}:{lines.line_num}", remedy="Correct the line; quote a text that holds a comma.")
    except csv.Error as error:
        raise InputError(f"malformed CSV: {error}.", where=f"{path}:{lines.line_num}", remedy="Correct the line.") from None
    return header


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) == 1 and (other := next((mark for mark in SEPARATORS if mark in header[0]), None)):
        what = f"the header is one column, {header[0][:60]!r}: its fields seem to be separated by {other!r}."
        raise InputError(what, where=f"{path}:1", remedy=f"Set `data.csv: {{separator: {other!r}}}`.")
    names = Counter(unicodedata.normalize("NFC", name.strip()) for name in header)
    twice = [name for name, count in names.items() if count > 1 and name]
    if twice:
        raise InputError(f"the column {twice[0]!r} is there twice.", where=f"{path}:1", remedy="Rename one of them.")
    if header and not all(name.strip() for name in header):
        raise InputError(
            f"column {[bool(name.strip()) for name in header].index(False) + 1} has no name.", where=f"{path}:1", remedy="Name it."
        )


def _check_names(header: list[str], options: Csv) -> None:
    for field, names in (("dates", tuple(options.date_formats)), ("text", options.text)):
        for name in names:
            if name not in header:
                raise InputError(f"the file has no column {name!r}.", where=f"data.csv.{field}", remedy=f"It has {', '.join(header[:20])}.")


def _column(native: pd.Series[Any], written: pd.Series[Any], options: Csv, notes: list[str]) -> pd.Series[Any]:
    """A column's values: pandas' own where they are numbers, else what is written."""
    from pandas.api import types

    name, missing = str(native.name), (written == "") | written.isin(options.missing)
    known = written[~missing]
    if name in options.date_formats:
        return _dates(written.mask(missing), options.date_formats, notes)
    if name in options.text:
        return written.astype(object).mask(missing, None)
    if types.is_bool_dtype(native.dtype) and not missing.any():
        return native
    words = known.isin(MISSING_WORDS)
    if types.is_numeric_dtype(native.dtype) and not types.is_bool_dtype(native.dtype) and (known.empty or not words.all()):
        return _numbers(native, known[~words], known[words], options, notes)
    values = known[~words]
    if (quoted := values.str.match(r'\s+"')).any():
        row = int(quoted.idxmax())
        what = f"holds {values[row][:60]!r} (row {row + 1}): quotes behind a blank are part of the text, and don't enclose it."
        raise InputError(what, where=f"column {name!r}", remedy="Write no blank before the quotes.")
    if len(values) and values.str.lower().isin(TRUTH).all() and values.isin({"true", "True", "TRUE", "false", "False", "FALSE"}).all():
        gone = len(written) - len(values)
        notes.append(f"column {name!r}: truth values, {gone} of them missing: a model sees 1, 0 and a missing number.")
        return written.str.lower().map(TRUTH).astype("boolean")
    if (with_units := _without_units(values, options)) is not None:
        notes.append(f"column {name!r}: numbers; {', '.join(options.units)} was taken away.")
        return with_units.reindex(written.index)
    if words.any():
        found = ", ".join(f"{word!r} ({count})" for word, count in known[words].value_counts().head(SHOWN).items())
        notes.append(f"column {name!r}: {found} are texts like the others; `data.csv.missing` would make them missing.")
    return written.astype(object).mask(missing, None)


def _numbers(native: pd.Series[Any], values: pd.Series[Any], words: pd.Series[Any], options: Csv, notes: list[str]) -> pd.Series[Any]:
    """A column that pandas reads as numbers, unless that would lose something of what is written."""
    import pandas as pd

    name, trimmed = str(native.name), values.str.strip()
    if options.thousands and (broken := trimmed[trimmed.map(lambda value: not _grouped(value, options))]).size:
        what = (
            f"holds {broken.iloc[0]!r} (row {int(broken.index[0]) + 1}), which is no number with {options.thousands!r} between thousands."
        )
        raise InputError(what, where=f"column {name!r}", remedy="Correct the value or `data.csv.thousands`.")
    if trimmed.str.fullmatch(r"[+-]?0\d+").any():
        shown = ", ".join(trimmed[trimmed.str.fullmatch(r"[+-]?0\d+")].head(SHOWN))
        notes.append(f"column {name!r}: numbers with leading zeros ({shown}) are read as texts: as numbers they would lose them.")
        return values.astype(object).reindex(native.index)
    _remark(name, trimmed, native, options, notes)
    if words.size:
        found = ", ".join(f"{word!r} ({count})" for word, count in words.value_counts().head(SHOWN).items())
        notes.append(f"column {name!r}: {found} among numbers are missing numbers.")
    if (
        native.dtype.kind == "f"
        and len(trimmed)
        and trimmed.str.fullmatch(r"[+-]?\d{16,}").any()
        and trimmed.str.fullmatch(r"[+-]?\d+").all()
    ):
        whole = trimmed.map(int)
        if not whole.between(-(2**63), 2**63 - 1).all():
            raise too_large(name, str(whole.abs().max()))
        return pd.Series(whole.astype("int64"), index=whole.index).astype("Int64").reindex(native.index)
    return native


def _remark(name: str, written: pd.Series[Any], native: pd.Series[Any], options: Csv, notes: list[str]) -> None:
    """Say what of numbers, as they are ``written``, can't be seen in them any more once they are read."""
    mark = re.escape(options.decimal)
    for what, form in (("an exponent", _SHORT.pattern), ("leading zeros", rf"[+-]?0\d+{mark}\d*")):
        if (own := written[written.str.fullmatch(form)]).size:
            shown = f"{own.iloc[0]} is {native[own.index[0]]}"
            notes.append(f"column {name!r}: numbers with {what} ({shown}); if they are no numbers, `data.csv.text` keeps them.")
    if native.dtype.kind != "f":
        return
    long = written[written.str.len() > DIGITS]
    long = long[long.str.replace(r"[eE].*|\D", "", regex=True).str.lstrip("0").str.len() > DIGITS]
    plain = long.str.replace(options.thousands or "\0", "", regex=False).str.replace(options.decimal, ".", regex=False)
    exact = plain[plain.str.fullmatch(_FLOAT)].map(Decimal)
    if (merged := exact.nunique() - native[exact.index].nunique()) > 0:
        notes.append(
            f"column {name!r}: numbers of more digits than 64-bit floats hold, such as {long.iloc[0]}: {merged} are read as others are."
        )


def too_large(name: str, value: str) -> InputError:
    """A whole number that 64 bits don't hold."""
    return InputError(
        f"holds {value[:40]}, a whole number that 64 bits don't hold.",
        where=f"column {name!r}",
        remedy="Read the column as texts, if these are identifiers (`data.csv: {text: [...]}`), or put it in `data.exclude`.",
    )


def _grouped(value: str, options: Csv) -> bool:
    mark, decimal = re.escape(options.thousands or ""), re.escape(options.decimal)
    return re.fullmatch(rf"[+-]?(\d+|\d{{1,3}}({mark}\d{{3}})+)?({decimal}\d*)?([eE][+-]?\d+)?", value) is not None


def _without_units(values: pd.Series[Any], options: Csv) -> pd.Series[Any] | None:
    """The numbers of ``values`` without the units around them; None when they are none, or there are no units to take away."""
    import pandas as pd

    if not options.units or values.empty:
        return None
    signs = "|".join(re.escape(unit) for unit in options.units)
    bare = values.str.replace(rf"^\s*([+-]?)\s*(?:{signs})|(?:{signs})\s*$", r"\1", regex=True).str.strip()
    if options.thousands:
        if not bare.map(lambda value: _grouped(value, options)).all():
            return None
        bare = bare.str.replace(options.thousands, "", regex=False)
    plain = bare.str.replace(options.decimal, ".", regex=False)
    if not plain.str.fullmatch(_FLOAT).all():
        return None
    return pd.to_numeric(plain.map(float), downcast=None) if plain.str.contains(r"[.eE]").any() else plain.map(int)


def _dates(written: pd.Series[Any], formats: Mapping[str, str | None], notes: list[str]) -> pd.Series[Any]:
    import pandas as pd

    name = str(written.name)
    form = formats[name] or "ISO8601"
    moments = pd.to_datetime(written, format=form, errors="coerce", utc=zones.zoned(written).any())
    stray = moments.isna() & written.notna()
    if stray.any():
        what = f"holds {str(written[stray].iloc[0])[:60]!r} (row {int(stray.idxmax()) + 1}), no date of the form {form}."
        remedy = "Correct it, or give the form: `data.csv: {dates: {" + name + ": '%d.%m.%Y'}}`."
        raise InputError(what, where=f"column {name!r}", remedy=remedy)
    if form == "ISO8601":
        zones.check_alike(written, f"column {name!r}")
    notes.append(f"column {name!r}: dates.")
    return moments.dt.tz_localize(None) if moments.dt.tz is not None else moments
