"""What an ONNX file's initialisers take, read from the protobuf's framing alone: the weights themselves are skipped over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from include.errors import InputError
from include.estimate.quantisation import dtype_bytes
from include.estimate.tensors import Tensor
from include.runtime import untrusted

# Field numbers of onnx.proto (ONNX 1.17) and its TensorProto.DataType.
_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME = 7, 5, 1, 2, 8
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "int16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
    12: "int32", 13: "int64", 16: "bfloat16", 17: "fp8", 18: "fp8", 19: "fp8", 20: "fp8", 21: "int4", 22: "int4", 23: "fp4",
}  # fmt: skip
MAX_DIMENSIONS = 16
_MAX_NAME = 10_000
_MAX_INITIALISERS = 1_000_000


@dataclass
class _Wire:
    """A cursor over one message's bytes in the file."""

    file: BinaryIO
    end: int
    where: str

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.file.read(1)
            if not byte or self.file.tell() > self.end:
                raise InputError("the file ends inside a field.", where=self.where, remedy="Export the model again.")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
        raise InputError("no ONNX file: a number of more than ten bytes.", where=self.where)

    def fields(self) -> Iterator[tuple[int, int, int]]:
        """(field number, wire type, value or length); the cursor stands at the content and is moved past it afterwards."""
        while self.file.tell() < self.end:
            key = self.varint()
            number, kind = key >> 3, key & 7
            if number == 0 or kind not in (0, 1, 2, 5):
                raise InputError("no ONNX file: not a protobuf message.", where=self.where, remedy="Give the .onnx file itself.")
            value = self.varint() if kind in (0, 2) else {1: 8, 5: 4}[kind]
            start = self.file.tell()
            stop = start if kind == 0 else start + value
            if stop > self.end:
                raise InputError("the file ends inside a field.", where=self.where, remedy="Export the model again.")
            yield number, kind, value
            self.file.seek(stop)


def onnx_tensors(path: Path) -> list[Tensor]:
    """The initialisers of an ONNX model; those kept in external files count by their shapes. Raises InputError naming the file."""
    try:
        with untrusted.plain(path) as file:
            model = _Wire(file, path.stat().st_size, str(path))
            found = [
                tensor for number, kind, size in model.fields() if (number, kind) == (_MODEL_GRAPH, 2) for tensor in _graph(model, size)
            ]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from error
    if not found:
        raise InputError("no initialisers found.", where=str(path), remedy="Give an ONNX model that holds its weights.")
    return found


def _graph(model: _Wire, size: int) -> list[Tensor]:
    graph = _Wire(model.file, model.file.tell() + size, model.where)
    found: list[Tensor] = []
    for number, kind, length in graph.fields():
        if (number, kind) == (_GRAPH_INITIALIZER, 2):
            found.append(_initialiser(graph, length))
            if len(found) > _MAX_INITIALISERS:
                raise InputError(f"over {_MAX_INITIALISERS} initialisers.", where=model.where)
    return found


def _initialiser(graph: _Wire, size: int) -> Tensor:
    tensor = _Wire(graph.file, graph.file.tell() + size, graph.where)
    dims: list[int] = []
    kind_of, name = 0, ""
    for number, kind, value in tensor.fields():
        if number == _TENSOR_DIMS:
            dims += [value] if kind == 0 else _packed(tensor, value)
        elif (number, kind) == (_TENSOR_TYPE, 0):
            kind_of = value
        elif (number, kind) == (_TENSOR_NAME, 2):
            name = tensor.file.read(min(value, _MAX_NAME)).decode("utf-8", "replace")
    if len(dims) > MAX_DIMENSIONS or any(dim >= 2**63 for dim in dims):
        raise InputError(f"initialiser {name!r:.80} has a negative or endless shape.", where=graph.where)
    if kind_of not in _DTYPES:
        raise InputError(f"initialiser {name!r:.80} has element type {kind_of}, which holds no weights.", where=graph.where)
    dtype = _DTYPES[kind_of]
    return Tensor(name, tuple(dims), dtype, math.prod(dims) * dtype_bytes(dtype))


def _packed(tensor: _Wire, size: int) -> list[int]:
    if size > 10 * MAX_DIMENSIONS:
        raise InputError(f"an initialiser has over {MAX_DIMENSIONS} dimensions.", where=tensor.where)
    inner = _Wire(tensor.file, tensor.file.tell() + size, tensor.where)
    values = []
    while inner.file.tell() < inner.end:
        values.append(inner.varint())
    return values
