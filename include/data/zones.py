"""Times that are written in a table: all with their zone, or all without. Beside each other, nobody knows how far apart they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_ZONE = r"[T ]\d.*[+-]\d\d$|[+-]\d\d:?\d\d$|Z$"


def zoned(written: pd.Series[Any]) -> pd.Series[Any]:
    """Return which of the texts that are not missing end in a zone (ISO 8601: ``Z``, ``+02``, ``+02:00``)."""
    return written.dropna().astype(str).str.contains(_ZONE)


def alike(written: pd.Series[Any]) -> bool:
    """Say whether all texts have a zone, or none has."""
    found = zoned(written)
    return bool(found.all() or not found.any())


def check_alike(written: pd.Series[Any], where: str) -> None:
    """Raise InputError where some texts of ISO 8601 have a zone and others have none: these would be taken for UTC in silence."""
    if alike(written):
        return
    found = zoned(written)
    at = list(written.index)
    own, bare = (f"{str(written[row])[:60]!r}, row {at.index(row) + 1}" for row in (found.idxmax(), found.idxmin()))
    raise InputError(
        f"holds times with a zone ({own}) and without ({bare}).", where=where, remedy="Write the zone in every row, or in none."
    )
