"""Pictures of the data: their files read, looked through, and told apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.pictures import Picture, PictureRefused
from include.errors import InputError
from include.runtime import untrusted
from include.spec.files import outside

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

SHOWN = 5
HASH_SIDE = 8
MAX_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Seen:
    """A picture as it came: ``width`` and ``height`` in pixels, ``bytes`` of the file, ``fingerprint`` of how it looks (dHash, 64 bits)."""

    width: int
    height: int
    bytes: int
    fingerprint: int


def contents(column: pd.Series[Any], folder: Path, picture: Picture) -> tuple[list[bytes], list[Seen]]:
    """Return the bytes of every picture of ``column`` (paths below ``folder``, or bytes), and what was seen of it.

    Raises:
        InputError: pictures that are not there, or can't be opened; it names the first rows.
    """
    data, seen, wrong = [], [], []
    for row, value in enumerate(column):
        try:
            content = bytes(value) if isinstance(value, bytes | bytearray) else _read(str(value), folder)
            image = picture.open(content)
        except (PictureRefused, InputError) as error:
            named = f" ({str(value)[:80]})" if isinstance(value, str) else ""
            wrong.append(f"row {row + 1}{named}: {getattr(error, 'what', None) or error}")
            continue
        data.append(content)
        seen.append(Seen(image.width, image.height, len(content), fingerprint(image)))
    if wrong:
        what = f"holds {len(wrong)} picture(s) that can't be taken: {'; '.join(wrong[:SHOWN])}"
        raise InputError(what, where=f"column {column.name!r}", remedy="Correct these rows, or leave them out in the data source.")
    return data, seen


def fingerprint(image: Image) -> int:
    """Return a hash that pictures share which look alike: is each of 8 x 8 places brighter than the next (dHash; N. Krawetz, 2013)."""
    small = image.convert("L").resize((HASH_SIDE + 1, HASH_SIDE))
    values = list(small.tobytes())
    found = 0
    for row in range(HASH_SIDE):
        line = values[row * (HASH_SIDE + 1) : (row + 1) * (HASH_SIDE + 1)]
        for left, right in pairwise(line):
            found = found << 1 | (left > right)
    return found


def _read(name: str, folder: Path) -> bytes:
    if why := outside(name, folder):
        raise InputError(why, where=name)
    path = folder / name
    if not path.is_file():
        raise InputError("there is no such file in the model's folder.", where=name)
    with untrusted.plain(path) as file:
        content: bytes = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"is larger than {MAX_FILE_BYTES // 2**20} MiB.", where=name)
    return content
