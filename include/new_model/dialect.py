"""How a CSV file is written, guessed by its bytes: encoding, separator, header. Pure."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from dataclasses import dataclass

from include.data.csv_file import FIELD_LIMIT
from include.errors import InputError

SEPARATORS = (",", ";", "\t", "|")
LINES = 200
"""Lines by which the separator is told."""
HINT = "sep="
"""A spreadsheet's word for its separator, in a line before the header."""


@dataclass(frozen=True)
class Header:
    """The columns' ``names`` as they stand there, and how much ``text`` of the file is before the first row."""

    names: tuple[str, ...]
    text: str

    @property
    def mended(self) -> tuple[str, ...]:
        """The names made usable: one without a name is called by its place, one that is there already gets a number."""
        out: list[str] = []
        for place, raw in enumerate(self.names, 1):
            base = name = raw.strip() or f"column_{place}"
            number = 2
            while name in out or (name != base and name in self.names):
                name, number = f"{base}_{number}", number + 1
            out.append(name)
        return tuple(out)

    @property
    def broken(self) -> str:
        """What is wrong with the names, as a sentence; empty when nothing is."""
        if self.text.lower().startswith(HINT):
            return f"the first line, {self.text.splitlines()[0]!r}, is a spreadsheet's word for its separator, and no header."
        counts = Counter(name.strip() for name in self.names)
        twice = [name for name, count in counts.items() if count > 1 and name]
        if twice:
            return f"the column {twice[0]!r} is there {'twice' if counts[twice[0]] == 2 else f'{counts[twice[0]]} times'}."
        if "" in counts:
            return f"column {[bool(name.strip()) for name in self.names].index(False) + 1} has no name."
        return ""


def encoding_of(raw: bytes) -> str:
    """The encoding of ``raw`` as ``data.csv.encoding`` names it; an eight-bit one is a guess."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for name in ("utf-8", "cp1252"):
        try:
            raw.decode(name)
        except UnicodeDecodeError:
            continue
        return name
    return "latin-1"


def text_of(raw: bytes, encoding: str) -> str:
    """``raw`` as text, without its byte order mark."""
    return raw.decode(encoding).removeprefix("\ufeff")


def separator_of(text: str) -> str:
    """What stands between fields: of :data:`SEPARATORS` the one that gives most lines the same number of fields, more than one."""
    if text[: len(HINT)].lower() == HINT and text[len(HINT) : len(HINT) + 1] in SEPARATORS:
        return text[len(HINT)]
    head = "".join(text[: 1 << 20].splitlines(keepends=True)[:LINES])
    best, most = ",", 0.0
    for separator in SEPARATORS:
        counts = Counter(_fields(head, separator))
        fields, lines = counts.most_common(1)[0] if counts else (1, 0)
        # The header alone decides between two that fit all lines: "a;b" with decimal commas has as many commas in every line.
        score = lines / max(sum(counts.values()), 1) + (0.5 if separator in head.partition("\n")[0] else 0)
        if fields > 1 and score > most:
            best, most = separator, score
    return best


def _fields(head: str, separator: str) -> list[int]:
    csv.field_size_limit(FIELD_LIMIT)
    found: list[int] = []
    try:
        for row in csv.reader(io.StringIO(head, newline=""), delimiter=separator):
            if row:
                found.append(len(row))
    except csv.Error:
        return found
    return found


def header_of(text: str, separator: str) -> Header:
    """The header of ``text``. InputError when it can't be read."""
    csv.field_size_limit(FIELD_LIMIT)
    source = io.StringIO(text, newline="")
    if text[: len(HINT)].lower() == HINT:
        source.readline()
    rows = csv.reader(source, strict=True, delimiter=separator)
    try:
        names = next((row for row in rows if row), [])
    except csv.Error as error:
        raise InputError(f"malformed header: {error}.", where="line 1", remedy="Correct the line.") from None
    return Header(tuple(names), text[: source.tell()])
