"""Which columns of a table a model sees."""

from __future__ import annotations

from include.errors import InputError
from include.spec.schema import Data


def feature_columns(data: Data, columns: list[str]) -> list[str]:
    """Return the columns that the model sees, in order: ``data.features``, or all but the target, the group and the excluded ones."""
    missing = [name for name in (data.target, *(data.features or ()), *data.exclude, *filter(None, [data.group])) if name not in columns]
    if missing:
        raise InputError(f"the table has no column {', '.join(map(repr, missing))}.", where="data", remedy=f"It has {', '.join(columns)}.")
    if data.features is not None:
        return list(data.features)
    hidden = {data.target, data.group, *data.exclude}
    found = [name for name in columns if name not in hidden]
    if not found:
        raise InputError("no column is left for the model to see.", where="data.exclude", remedy="Exclude fewer columns.")
    return found
