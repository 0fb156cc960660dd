"""Ways in which people write one table as CSV, each with the settings that read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

ROWS = 60
ARABIC = str.maketrans("0123456789", "".join(chr(0x660 + digit) for digit in range(10)))


def table() -> pd.DataFrame:
    """Numbers, amounts, shares, identifiers, truth values, texts that look like something else, and holes."""
    rng = np.random.default_rng(5)
    amount = rng.normal(5000, 3000, ROWS).round(2)
    frame = pd.DataFrame(
        {
            "amount": amount,
            "share": (rng.random(ROWS) * 100).round(1),
            "count": rng.integers(0, 9, ROWS),
            "product": 2_024_000_000 + rng.integers(0, 40, ROWS),
            "flag": rng.choice([True, False], ROWS),
            "country": rng.choice(["DE", "NA", "None", "FR"], ROWS),
            "city": rng.choice(["Köln", "Paris", "Nizza"], ROWS),
            "y": rng.choice(["yes", "no"], ROWS),
        }
    )
    frame.loc[::9, "amount"] = np.nan
    frame.loc[4::11, "city"] = None
    return frame


@dataclass(frozen=True)
class Way:
    """How the cells are written, and the ``settings`` of `data.csv` that read them."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    separator: str = ","
    encoding: str = "utf-8"
    missing: str = ""
    cells: dict[str, Callable[[Any], str]] = field(default_factory=dict)
    holes: dict[str, int] = field(default_factory=dict)
    parsed: tuple[str, ...] = ()
    """Columns that hold the numbers as they are written, and not those of the table."""
    before: str = ""
    index: bool = False
    unreadable: bool = False
    """With ``settings`` too it must be refused."""

    def frame(self) -> pd.DataFrame:
        """The table that is written this way."""
        made = table()
        for name, every in self.holes.items():
            made[name] = made[name].astype(object)
            made.loc[::every, name] = None
        return made

    def expected(self) -> pd.DataFrame:
        """The table that a reader must find in it."""
        made = self.frame()
        return made.assign(**{name: [float(self._cell(name, value)) for value in made[name]] for name in self.parsed})

    def written(self) -> bytes:
        """The file's bytes."""
        made = self.frame()
        texts = {name: [self._cell(name, value) for value in made[name]] for name in made}
        label = {"index": True, "index_label": "Unnamed: 0"} if self.index else {"index": False}
        return (self.before + pd.DataFrame(texts).to_csv(sep=self.separator, lineterminator="\n", **label)).encode(self.encoding)

    def _cell(self, name: str, value: Any) -> str:
        if value is None or value != value:
            return self.missing if name in ("amount", *self.holes) else ""
        return self.cells[name](value) if name in self.cells else str(value)


def _comma(value: float) -> str:
    return str(value).replace(".", ",")


def _grouped(mark: str, decimal: str) -> Callable[[float], str]:
    return lambda value: f"{value:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", mark)


def ways() -> list[Way]:
    """All of them."""
    found = [Way("plain"), Way("with a byte order mark", encoding="utf-8-sig")]
    found += [Way(f"separated by {mark!r}", {"separator": mark}, mark) for mark in (";", "\t", "|")]
    found += [Way(f"in {code}", {"encoding": code}, encoding=code) for code in ("latin-1", "cp1252", "utf-16")]
    words = ("NA", "null", "NaN", "n/a", "None", "NULL", "-", "?", "missing", ".")
    own = ("-", "?", "missing", ".")
    found += [Way(f"missing numbers as {word!r}", {"missing": [word]} if word in own else {}, missing=word) for word in words]
    comma = {"amount": _comma, "share": _comma}
    found += [Way(f"decimal comma, {mark!r}", {"decimal": ",", "separator": mark}, mark, cells=comma) for mark in (";", "\t", "|", ",")]
    groups = ((",", "."), (".", ","), (" ", "."), ("'", "."), (" ", ","))
    found += [
        Way(
            f"thousands {mark!r}, decimals {decimal!r}",
            {"thousands": mark, "decimal": decimal, "separator": ";"},
            ";",
            cells={"amount": _grouped(mark, decimal), "share": lambda value, sign=decimal: str(value).replace(".", sign)},
        )
        for mark, decimal in groups
    ]
    for sign in ("€", "$", "£", "EUR"):
        found.append(Way(f"{sign} before", {"units": [sign]}, cells={"amount": lambda value, own=sign: f"{own} {value}"}))
        found.append(Way(f"{sign} behind", {"units": [sign]}, cells={"amount": lambda value, own=sign: f"{value} {own}"}))
    found += [
        Way("per cent", {"units": ["%"]}, cells={"share": lambda value: f"{value}%"}),
        Way("per cent with a gap", {"units": ["%"]}, cells={"share": lambda value: f"{value} %"}),
        Way("a unit behind", {"units": ["kg"]}, cells={"amount": lambda value: f"{value} kg"}),
        Way("in thousands", cells={"amount": lambda value: f"{value / 1000:.5f}k"}),
        Way("negative ones in parentheses", cells={"amount": lambda value: f"({-value})" if value < 0 else str(value)}),
        Way("the sign behind", cells={"amount": lambda value: f"{-value}-" if value < 0 else str(value)}),
        Way("a typographic minus", cells={"amount": lambda value: str(value).replace("-", "\u2212")}),
        Way("underscores", cells={"amount": lambda value: f"{value:_.2f}"}),
        Way("many zeros before the digits", cells={"share": lambda value: f"{value / 1e15:.18f}"}, parsed=("share",)),
        Way("other digits", cells={"share": lambda value: str(value).translate(ARABIC)}),
        Way("minutes and seconds", cells={"count": lambda value: f"{value:02}:30"}),
        Way("fractions", cells={"count": lambda value: f"{value}/9"}),
        Way("a decimal point beside the setting", {"separator": ";", "decimal": ","}, ";", unreadable=True),
        Way("with a byte of nothing", cells={"city": lambda value: f"{value[:2]}\0{value[2:]}"}),
        Way("a blank before quotes", cells={"city": lambda value: f' "{value}"'}),
        Way("with the index", index=True),
        Way("UTF-8 called Latin-1", {"encoding": "latin-1"}, unreadable=True),
        Way("a line for the spreadsheet", before="sep=,\n"),
        Way("truth values in small letters", cells={"flag": lambda value: str(value).lower()}),
        Way("truth values with holes", holes={"flag": 7}),
        Way("identifiers with holes", holes={"product": 8}),
    ]
    return found
