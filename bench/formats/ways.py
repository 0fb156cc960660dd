"""Forty ways in which people write one table as CSV, each with the settings that read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

ROWS = 60


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

    def frame(self) -> pd.DataFrame:
        """The table that is written this way."""
        made = table()
        for name, every in self.holes.items():
            made[name] = made[name].astype(object)
            made.loc[::every, name] = None
        return made

    def written(self) -> bytes:
        """The file's bytes."""
        made = self.frame()
        texts = {name: [self._cell(name, value) for value in made[name]] for name in made}
        return pd.DataFrame(texts).to_csv(index=False, sep=self.separator, lineterminator="\n").encode(self.encoding)

    def _cell(self, name: str, value: Any) -> str:
        if value is None or value != value:
            return self.missing if name in ("amount", *self.holes) else ""
        return self.cells[name](value) if name in self.cells else str(value)


def _comma(value: float) -> str:
    return str(value).replace(".", ",")


def _grouped(mark: str, decimal: str) -> Callable[[float], str]:
    return lambda value: f"{value:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", mark)


def ways() -> list[Way]:
    """All forty."""
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
        Way("truth values in small letters", cells={"flag": lambda value: str(value).lower()}),
        Way("truth values with holes", holes={"flag": 7}),
        Way("identifiers with holes", holes={"product": 8}),
    ]
    return found
