"""Rows that training may never have seen: each column missing, infinite, unseen, extreme or far outside, the rest of the row as it was.

What the original refuses (a missing number where it was fitted without one, an unknown category), the served form must refuse too, and so
it must what it would answer otherwise than the original. Both become the signature's limits (``include.bundles.limits``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from include.bundles.golden import Tolerance
from include.bundles.limits import Limit
from include.kinds.rows.answers import Answers
from include.kinds.table.parity import Ask, differing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

ROWS = 4
"""Rows that each column is probed in."""
CELLS = 2_000_000
"""Cells that the rows of one kind of probe may have: wide tables are probed in fewer rows, very wide ones in a part of their columns."""
MANY, SOME = 64, 16
"""Of more columns than ``MANY``, ``SOME`` are asked alone first: what all of these refuse, all refuse."""
UNSEEN = "\N{EMPTY SET} a text that no row has"
FAR = 10
"""A number is far outside when it is this many spans of the training values beyond them."""
REMOTE = (1e2, 1e4, 1e8, 1e30)
"""The same of a remote one, a size a row: squares of the last are more than a float32 holds."""
LARGEST = (-3e38, 3e38)
"""About the largest numbers that a float32 holds."""
LARGEST_WIDE = 1e300
"""The same of a float64: some estimators refuse what a float32 doesn't hold."""
MAX_KNOWN = 10_000
"""Values that a limit lists."""


class Kind(StrEnum):
    """The ways in which a probe's column is unlike the rest of its row."""

    MISSING = "missing"
    INFINITE = "infinite"
    UNSEEN = "unseen"
    LOWEST = "lowest"
    HIGHEST = "highest"
    ZERO = "zero"
    BELOW = "far below"
    ABOVE = "far above"
    REMOTE_BELOW = "remotely below"
    REMOTE_ABOVE = "remotely above"
    BETWEEN = "between"


@dataclass(frozen=True)
class Probe:
    """Rows ``x`` in which ``columns[row]`` was changed in the way of ``kind``."""

    kind: Kind
    x: pd.DataFrame
    columns: npt.NDArray[Any]


def probes(train: pd.DataFrame, wide: Collection[str], kinds: Collection[Kind] = tuple(Kind)) -> list[Probe]:
    """The probes, of these ``kinds``, of a model that learned from the features ``train``."""
    import numpy as np
    import pandas as pd

    rows = max(1, min(ROWS, len(train), CELLS // max(1, train.shape[1] ** 2)))
    base = train.iloc[np.linspace(0, len(train) - 1, rows).astype(int)]
    columns = list(train.columns)
    if rows * len(columns) ** 2 > CELLS:
        columns = [columns[at] for at in np.unique(np.linspace(0, len(columns) - 1, CELLS // len(columns)).astype(int))]
    found = []
    for kind in kinds:
        parts, names = [], []
        for name in columns:
            values = [_value(kind, train[name], name in wide, REMOTE[-1 - row % len(REMOTE)]) for row in range(rows)]
            if values[0] is None:
                continue
            part = base.copy()
            part[name] = pd.Series(values, index=base.index, dtype=train[name].dtype)
            parts.append(part)
            names += [name] * rows
        if parts:
            found.append(Probe(kind, pd.concat(parts, ignore_index=True), np.array(names, dtype=object)))
    return found


def _value(kind: Kind, column: pd.Series[Any], wide: bool, remote: float) -> Any:
    """What ``column`` holds in a probe of ``kind``, ``remote`` spans away in one of that kind; None when there is no such probe of it."""
    import numpy as np

    if column.dtype.kind == "O":
        return {Kind.MISSING: "", Kind.UNSEEN: UNSEEN}.get(kind)
    known = column.to_numpy(dtype="float64") if column.dtype.kind == "f" else column.to_numpy()
    known = known[np.isfinite(known)] if column.dtype.kind == "f" else known
    if not len(known):
        return float("nan") if kind is Kind.MISSING else None
    low, high = known.min(), known.max()
    if kind in (Kind.MISSING, Kind.INFINITE):
        return {Kind.MISSING: float("nan"), Kind.INFINITE: float("inf")}[kind] if column.dtype.kind == "f" else None
    span = max(float(high) - float(low), 1.0)
    remote = LARGEST_WIDE / span if wide and remote == REMOTE[-1] else remote
    value: Any = {
        Kind.LOWEST: low,
        Kind.HIGHEST: high,
        Kind.ZERO: 0 if low <= 0 <= high else None,
        Kind.BELOW: float(low) - FAR * span,
        Kind.ABOVE: float(high) + FAR * span,
        Kind.REMOTE_BELOW: float(low) - remote * span,
        Kind.REMOTE_ABOVE: float(high) + remote * span,
        Kind.BETWEEN: _between(known),
    }.get(kind)
    if value is None:
        return None
    if column.dtype.kind == "i":
        return int(min(max(value, -(2**62)), 2**62))
    return float(value) if wide else float(np.float32(np.clip(value, *LARGEST)))


def _between(known: Any) -> Any:
    """The middle of the widest gap between two neighbouring values."""
    import numpy as np

    values = np.unique(known)
    if len(values) < 2:
        return None
    gaps = np.diff(values.astype("float64"))
    at = int(gaps.argmax())
    if values.dtype.kind == "i":
        return None if gaps[at] < 2 else int(values[at]) + int(gaps[at]) // 2
    return float(values[at]) + float(gaps[at]) / 2


@dataclass(frozen=True)
class Probed:
    """A probe's outcome with the original: ``answers`` to the rows that ``taken`` marks; None when it took none."""

    probe: Probe
    taken: npt.NDArray[np.bool_]
    answers: Answers | None


def ask_original(probe: Probe, ask: Ask) -> Probed:
    """Ask the original about each column's rows: all at once, then half by half where it raises."""
    import numpy as np

    taken = np.zeros(len(probe.x), dtype=bool)
    columns = list(dict.fromkeys(probe.columns))
    some = columns[:: max(1, len(columns) // SOME)] if len(columns) > MANY else []
    for name in some:
        _try(probe, ask, [name], taken)
    if not some or taken.any():
        _try(probe, ask, columns, taken)
    return Probed(probe, taken, ask(probe.x[taken]) if taken.any() else None)


def _try(probe: Probe, ask: Ask, columns: list[Any], taken: npt.NDArray[np.bool_]) -> None:
    import numpy as np

    rows = np.isin(probe.columns, columns)
    try:
        said = ask(probe.x[rows])
        numbers = said.values if said.values.dtype.kind == "f" else said.probabilities
        sound = numbers is None or bool(np.isfinite(numbers).all())
    except Exception:  # whatever an estimator raises at a row that it does not take
        sound = False
    if sound:
        taken[rows] = True
    elif len(columns) > 1:
        half = len(columns) // 2
        _try(probe, ask, columns[:half], taken)
        _try(probe, ask, columns[half:], taken)


@dataclass(frozen=True)
class Outcome:
    """What the served form must refuse (``limits``), and where it differs although the data has such rows (``faults``)."""

    limits: dict[str, Limit]
    faults: tuple[str, ...]
    differs: int
    """Columns and kinds of rows that are refused only because the form answers them otherwise than the original."""


def judge(found: list[Probed], ask: Ask, served: Ask, data: pd.DataFrame, wide: frozenset[str], tolerance: Tolerance) -> Outcome:
    """Compare the ``served`` form with the original on every probe that the original took; ``data`` is what the model is known to meet."""
    wrong: list[tuple[str, Kind]] = []
    for one in found:
        if one.answers is None:
            continue
        differ = _differ(one, ask, served, wide, tolerance)
        wrong += [(name, one.probe.kind) for name in dict.fromkeys(one.probe.columns[one.taken][differ])]
    refused = refused_by_original(found, data)
    limits: dict[str, Limit] = {}
    faults = []
    for name, kind in [*refused, *wrong]:
        met = (name, kind) in wrong and _met(kind, data[name])
        if met:
            faults.append(f"column {name!r} {kind}")
        limits[name] = _limited(limits.get(name, Limit()), kind, data[name])
    return Outcome({} if faults else limits, tuple(faults), len(wrong))


def refused_by_original(found: list[Probed], data: pd.DataFrame) -> list[tuple[str, Kind]]:
    """The columns, and the kinds of rows, that the original takes none of."""
    refused = [(name, one.probe.kind) for one in found for name in dict.fromkeys(one.probe.columns[~one.taken])]
    for kind in dict.fromkeys(one.probe.kind for one in found if one.answers is None and len(set(one.probe.columns)) < len(data.columns)):
        refused += [(name, kind) for name in data.columns if (name, kind) not in refused and not _met(kind, data[name])]
    return refused


def _differ(one: Probed, ask: Ask, served: Ask, wide: frozenset[str], tolerance: Tolerance) -> npt.NDArray[np.bool_]:
    """True for each taken row that the served form answers otherwise than the original, or not at all."""
    import numpy as np

    assert one.answers is not None
    x, columns = one.probe.x[one.taken], one.probe.columns[one.taken]
    try:
        return differing(ask, served(x), one.answers, x, wide, tolerance)
    except Exception:  # ONNX Runtime raises for a whole batch what one row makes an operator refuse
        differ = np.zeros(len(x), dtype=bool)
    for name in dict.fromkeys(columns):
        rows = columns == name
        try:
            differ[rows] = differing(ask, served(x[rows]), one.answers.take(rows), x[rows], wide, tolerance)
        except Exception:
            differ[rows] = True
    return differ


def _met(kind: Kind, column: pd.Series[Any]) -> bool:
    """Whether rows of ``kind`` are among the data, so that the served form has to answer them."""
    if kind is Kind.MISSING:
        return bool((column == "").any() if column.dtype.kind == "O" else column.isna().any())
    return kind in (Kind.LOWEST, Kind.HIGHEST, Kind.ZERO, Kind.BETWEEN)


def _limited(limit: Limit, kind: Kind, column: pd.Series[Any]) -> Limit:
    import numpy as np

    if kind is Kind.MISSING:
        return replace(limit, missing=False)
    if kind is Kind.INFINITE:
        return replace(limit, infinite=False)
    values = [value for value in column.unique() if value == value and value != ""]
    if kind in (Kind.UNSEEN, Kind.BETWEEN):
        return replace(limit, known=tuple(sorted(value.item() if hasattr(value, "item") else value for value in values[:MAX_KNOWN])))
    if column.dtype.kind == "O" or not values:
        return limit
    low, high = float(np.min(values)), float(np.max(values))
    reach = FAR * max(high - low, 1.0) if kind in (Kind.REMOTE_BELOW, Kind.REMOTE_ABOVE) else 0.0
    if kind in (Kind.BELOW, Kind.REMOTE_BELOW):
        return replace(limit, low=low - reach if limit.low is None else max(limit.low, low - reach))
    if kind in (Kind.ABOVE, Kind.REMOTE_ABOVE):
        return replace(limit, high=high + reach if limit.high is None else min(limit.high, high + reach))
    return limit
