"""What the columns of a tensor model's rows are: numbers, texts, arrays of one shape, pictures; and as which tensors callers send them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from include.bundles.limits import Limit
from include.bundles.pictures import Picture
from include.bundles.signature import Tensor
from include.data import precision
from include.errors import InputError
from include.kinds.tensor.spec import TensorData

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

SHOWN = 5


class Holds(StrEnum):
    """What a column holds in each row."""

    NUMBER = "number"
    TEXT = "text"
    ARRAY = "array"
    PICTURE = "picture"


@dataclass(frozen=True)
class Column:
    """One feature; ``shape`` and ``datatype`` (KServe v2) are those of a row's tensor."""

    name: str
    holds: Holds
    datatype: str
    shape: tuple[int, ...] = (1,)

    @property
    def tensor(self) -> Tensor:
        """The tensor that callers send for it."""
        return Tensor(self.name, self.datatype, (-1, *self.shape))

    def array(self, values: pd.Series[Any]) -> npt.NDArray[Any]:
        """Return the column's ``values`` as that tensor; ValueError or TypeError when they don't fit it."""
        import numpy as np

        if self.holds is Holds.ARRAY:
            whole = np.array([plain(value) for value in values], dtype=self.tensor.dtype)
        else:
            whole = values.to_numpy(dtype=self.tensor.dtype)
        found: npt.NDArray[Any] = whole.reshape(len(values), *self.shape)
        return found


def columns_of(x: pd.DataFrame, data: TensorData) -> list[Column]:
    """Return the model's features, the columns of ``x``. InputError names a column that no tensor can hold, or that has gaps."""
    return described(x, list(x.columns), data.images)


def described(table: pd.DataFrame, names: Sequence[str], images: Collection[str]) -> list[Column]:
    """Return the columns ``names`` of ``table``, those in ``images`` being pictures. InputError as :func:`columns_of`."""
    return [_column(table[name], name in images) for name in names]


def pictures_of(data: TensorData) -> Mapping[str, Picture]:
    """Return how each column of pictures is opened."""
    return {name: Picture(said.mode, said.max_megapixels) for name, said in data.images.items()}


def limits_of(data: TensorData) -> Mapping[str, Limit]:
    """Return what is not taken of each column of texts."""
    return {name: Limit(missing=said.blank, blank=said.blank, most_characters=said.max_characters) for name, said in data.texts.items()}


def check_texts(table: pd.DataFrame, data: TensorData) -> None:
    """Raise InputError naming the first rows whose texts the server would refuse, or that are no texts."""
    for name, limit in limits_of(data).items():
        wrong = [(row, why) for row, value in enumerate(table[name]) if (why := _text_fault(value, limit))]
        if wrong:
            told = "; ".join(f"row {row + 1} {why}" for row, why in wrong[:SHOWN])
            what = f"holds {len(wrong)} text(s) that are not taken: {told}."
            raise InputError(what, where=f"column {name!r}", remedy="Correct these rows, or the limits in `data.texts`.")


def _text_fault(value: Any, limit: Limit) -> str:
    return limit.text(value) if isinstance(value, str) else f"is {type(value).__name__}, which is no text"


def plain(value: Any) -> Any:
    """Return an array, however deep it is nested, as lists of plain numbers."""
    return [plain(part) for part in value] if hasattr(value, "__len__") and not isinstance(value, str | bytes) else value


def _column(column: pd.Series[Any], is_picture: bool) -> Column:
    from pandas.api import types

    name = str(column.name)
    if column.isna().any():
        what, remedy = f"is missing in {_rows(column.isna())}.", "Fill it in the data source, or drop these rows."
        raise InputError(what, where=f"column {name!r}", remedy=remedy)
    if is_picture:
        return Column(name, Holds.PICTURE, "BYTES")
    if types.is_bool_dtype(column.dtype) or types.is_integer_dtype(column.dtype):
        return Column(name, Holds.NUMBER, "INT64")
    if types.is_float_dtype(column.dtype):
        return Column(name, Holds.NUMBER, "FP64" if precision.wide_columns(column.to_frame(), [name]) else "FP32")
    if column.map(lambda value: isinstance(value, str)).all():
        return Column(name, Holds.TEXT, "BYTES")
    return _array(column, name)


def _array(column: pd.Series[Any], name: str) -> Column:
    import numpy as np

    where = f"column {name!r}"
    if not column.map(lambda value: isinstance(value, list | tuple | np.ndarray)).all():
        kinds = sorted({type(value).__name__ for value in column})
        remedy = "Give numbers, texts, arrays of one shape, or pictures (`data.images`); or put it in `data.exclude`."
        raise InputError(f"holds {', '.join(kinds[:SHOWN])}, which no tensor is made of.", where=where, remedy=remedy)
    try:
        arrays = [np.array(plain(value)) for value in column]
    except ValueError as error:
        raise InputError(
            f"holds arrays that are uneven: {error}.", where=where, remedy="Give every row an array of the same shape."
        ) from None
    first = arrays[0]
    for row, array in enumerate(arrays):
        if array.shape != first.shape:
            what = f"has shape {list(array.shape)} in row {row + 1} and {list(first.shape)} in row 1."
            raise InputError(what, where=where, remedy="Give every row an array of the same shape.")
        if array.dtype.kind not in "iufb":
            raise InputError(f"holds an array of {array.dtype} in row {row + 1}.", where=where, remedy="Give arrays of numbers.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"holds NaN or infinity in row {row + 1}.", where=where, remedy="Replace it in the data source.")
    whole = all(array.dtype.kind in "iub" for array in arrays)
    return Column(name, Holds.ARRAY, "INT64" if whole else "FP32", tuple(int(size) for size in first.shape))


def _rows(mask: Any) -> str:
    import numpy as np

    at = np.flatnonzero(np.asarray(mask, dtype=bool))
    return f"{len(at)} row(s), first {', '.join(str(row + 1) for row in at[:SHOWN])}"
