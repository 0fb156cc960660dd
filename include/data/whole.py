"""An Arrow table as a frame of pandas in which every whole number is what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

EXACT = 2**53
"""Whole numbers up to this are 64-bit floats too."""


def frame_of(table: pa.Table, *, always: bool = False) -> pd.DataFrame:
    """Return ``table`` as pandas has it, but for columns of whole numbers beyond :data:`EXACT` of which some are missing: as floats, which
    pandas would make of them, different ones become one (a customer's number another's), so they are ``Int64`` or ``UInt64``.

    ``always``: so are those beyond it of which none is missing, so that they stay whole beside frames that lack the column.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    frame: pd.DataFrame = table.to_pandas()
    whole = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    for place, field in enumerate(table.schema):
        if field.type not in whole or table.schema.names.count(field.name) > 1 or field.name not in frame.columns:
            continue
        column = table.column(place)
        if not (always or column.null_count) or column.null_count == len(column):
            continue
        ends = pc.min_max(column).as_py()
        if max(-ends["min"], ends["max"]) > EXACT:
            frame[field.name] = column.to_pandas(types_mapper=whole.get).array
    return frame
