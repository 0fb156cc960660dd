"""What safetensors files hold, from their headers alone: never a weight is read, and a hostile file can't make us read much."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from include.errors import InputError
from include.estimate.quantisation import dtype_bytes, dtype_name
from include.estimate.tensors import Tensor
from include.runtime import untrusted

# The format's own bound (100 MB, huggingface/safetensors README: "There's a limit on the size of the header").
MAX_HEADER_BYTES = 100_000_000
MAX_INDEX_BYTES = 100_000_000
MAX_SHARDS = 10_000
MAX_TENSORS = 1_000_000
INDEX = "model.safetensors.index.json"


def folder_tensors(folder: Path) -> list[Tensor]:
    """All tensors of a model folder: those of the index's shards where there is an index, else of every ``*.safetensors`` in it.

    An empty list where the folder has none. Raises InputError naming the file: shards that the index names and the folder lacks, a tensor
    that its shard does not hold, anything malformed.
    """
    index = folder / INDEX
    if not index.is_file():
        return _distinct([tensor for path in sorted(folder.glob("*.safetensors")) for tensor in file_tensors(path)], folder)
    names = _weight_map(index)
    shards = sorted(set(names.values()))
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        remedy = "Download the model again, whole."
        raise InputError(f"{len(missing)} of {len(shards)} shards are missing: {', '.join(missing[:3])}.", where=str(index), remedy=remedy)
    found = _distinct([tensor for shard in shards for tensor in file_tensors(folder / shard)], folder)
    absent = sorted(set(names) - {tensor.name for tensor in found})
    if absent:
        raise InputError(f"{len(absent)} tensors are in no shard: {', '.join(absent[:3])}.", where=str(index))
    return found


def file_tensors(path: Path) -> list[Tensor]:
    """The tensors of one safetensors file, from its header: 8 bytes of length, little-endian, then JSON."""
    header, room = _header(path)
    if len(header) > MAX_TENSORS:
        raise InputError(f"the header lists {len(header)} tensors, over {MAX_TENSORS}.", where=str(path))
    return [_tensor(name, entry, room, path) for name, entry in header.items() if name != "__metadata__"]


def _header(path: Path) -> tuple[dict[str, Any], int]:
    try:
        size = path.stat().st_size
        with untrusted.plain(path) as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                said = f"its header would be {length} bytes" if length >= 0 else "it is shorter than 8 bytes"
                raise InputError(f"no safetensors file: {said}, the file is {size}.", where=str(path), remedy="Download it again.")
            text = file.read(length)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from error
    header = _json(text, path)
    if not isinstance(header, dict):
        raise InputError("the header is no JSON object.", where=str(path))
    return header, size - 8 - length


def _tensor(name: str, entry: object, room: int, path: Path) -> Tensor:
    where = f"{path}: {name:.80}"
    if not isinstance(entry, Mapping):
        raise InputError("the entry is no JSON object.", where=where)
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not _whole_numbers(shape):
        raise InputError(f"shape is {shape!s:.60}.", where=where, remedy="It must be a list of whole numbers from 0.")
    if not _whole_numbers(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= room:
        raise InputError(f"data_offsets are {offsets!s:.60}.", where=where, remedy=f"They must lie within the {room} bytes of data.")
    dtype = dtype_name(str(entry.get("dtype")), where)
    expected = math.ceil(math.prod(shape) * dtype_bytes(dtype))
    if offsets[1] - offsets[0] != expected:
        raise InputError(f"{offsets[1] - offsets[0]} bytes, but {shape} of {dtype} take {expected}.", where=where)
    return Tensor(name, tuple(shape), dtype, float(expected))


def _whole_numbers(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) <= 16 and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _weight_map(index: Path) -> dict[str, str]:
    content = read_json(index, MAX_INDEX_BYTES)
    names = content.get("weight_map")
    good = isinstance(names, dict) and names and all(isinstance(shard, str) for shard in names.values())
    if not good or not isinstance(names, dict):
        raise InputError("weight_map is no object of tensor → file.", where=str(index))
    outside = [shard for shard in set(names.values()) if Path(shard).name != shard or shard in {"", ".", ".."}]
    if outside or len(set(names.values())) > MAX_SHARDS:
        raise InputError(f"weight_map names {outside[:1] or 'too many files'}.", where=str(index), remedy="Shards lie beside the index.")
    return names


def _distinct(tensors: list[Tensor], folder: Path) -> list[Tensor]:
    names = {tensor.name for tensor in tensors}
    if len(names) != len(tensors):
        remedy = f"Keep one set of weights in it, or add {INDEX}."
        raise InputError("several files hold the same tensors.", where=str(folder), remedy=remedy)
    return tensors


def read_json(path: Path, limit: int) -> dict[str, Any]:
    """A JSON object from a file of at most ``limit`` bytes. Raises InputError naming the file."""
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path.stat().st_size} bytes, over {limit}.", where=str(path))
        with untrusted.plain(path) as file:
            content = _json(file.read(limit), path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from error
    if not isinstance(content, dict):
        raise InputError("no JSON object.", where=str(path))
    return content


def _json(text: bytes, path: Path) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"no valid JSON: {str(error)[:120]}.", where=str(path), remedy="Download it again.") from error
