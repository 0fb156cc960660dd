"""KServe's bodies: tensors by name, in JSON or in its binary extension. Pure.

Source: KServe's Open Inference Protocol, and Triton's extension for binary tensor data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

WIDTHS = {
    "BOOL": "?",
    **{f"INT{8 * size}": letter for size, letter in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))},
    **{f"UINT{8 * size}": letter for size, letter in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))},
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
"""How a value is packed (little-endian)."""
LONGEST_NAME = 256
"""Of a tensor. A server that nobody here wrote may take any: a longer one is the caller's text, and no name."""


def tensors(body: bytes, head: int, part: str) -> Iterator[tuple[str, int, list[Any]]]:
    """Yield name, number of rows and flat values of each tensor in ``part`` (`inputs` or `outputs`); ``head``: the bytes of JSON before
    binary data, 0 for none. What is no tensor is passed over: a request may be as wrong as its caller likes."""
    try:
        listed = json.loads(body[:head] if head else body)[part]
        binary = memoryview(body)[head:] if head else memoryview(b"")
        for one in listed:
            name, kind, shape = safe(str(one["name"])), one["datatype"], one["shape"]
            if len(name) > LONGEST_NAME:
                raise ValueError("no name")
            size = one.get("parameters", {}).get("binary_data_size") if head else None
            if size is None:
                values = [_as(kind, value) for value in _flat(one["data"])]
            else:
                values, binary = _unpacked(kind, bytes(binary[:size])), binary[size:]
            yield name, int(shape[0]) if shape else 1, values
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, ArithmeticError, struct.error):
        return


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    if not any(isinstance(value, list) for value in data):
        return data
    return [value for part in data for value in _flat(part)]


def _as(kind: str, value: Any) -> Any:
    """A scalar as its tensor has it: 1 among floating-point numbers is 1.0. ValueError for what is none."""
    if isinstance(value, dict):
        raise ValueError("no scalar")
    if isinstance(value, str):
        return safe(value)
    if kind.startswith("FP") and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def safe(text: str) -> str:
    """A text that every file takes: halves of surrogate pairs are none."""
    return text.encode(errors="replace").decode()


def _unpacked(kind: str, data: bytes) -> list[Any]:
    if kind != "BYTES":
        return list(struct.unpack(f"<{len(data) // struct.calcsize(WIDTHS[kind])}{WIDTHS[kind]}", data))
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + length].decode(errors="replace"))
        at += 4 + length
    return found
