"""What an ONNX file's initialisers take, read from the protobuf's framing alone: the weights themselves are skipped over."""

from __future__ import annotations

import math
from pathlib import Path

from include.errors import InputError
from include.estimate.quantisation import dtype_bytes
from include.estimate.tensors import Tensor
from include.runtime import untrusted
from include.runtime.protobuf import BYTES, VARINT, Message

# Field numbers of onnx.proto (ONNX 1.17) and its TensorProto.DataType.
_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME = 7, 5, 1, 2, 8
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "int16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
    12: "int32", 13: "int64", 16: "bfloat16", 17: "fp8", 18: "fp8", 19: "fp8", 20: "fp8", 21: "int4", 22: "int4", 23: "fp4",
}  # fmt: skip
MAX_DIMENSIONS = 16
_MAX_NAME = 10_000
_MAX_INITIALISERS = 1_000_000


def onnx_tensors(path: Path) -> list[Tensor]:
    """The initialisers of an ONNX model; those kept in external files count by their shapes. Raises InputError naming the file."""
    try:
        with untrusted.plain(path) as file:
            model = Message(file, path.stat().st_size)
            parts = (size for number, kind, size in model.fields() if (number, kind) == (_MODEL_GRAPH, BYTES))
            found = [tensor for size in parts for tensor in _graph(model.inside(size), str(path))]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from error
    except ValueError as error:
        raise InputError(f"no ONNX file: {error}.", where=str(path), remedy="Give the .onnx file itself.") from None
    if not found:
        raise InputError("no initialisers found.", where=str(path), remedy="Give an ONNX model that holds its weights.")
    return found


def _graph(graph: Message, where: str) -> list[Tensor]:
    found: list[Tensor] = []
    for number, kind, length in graph.fields():
        if (number, kind) == (_GRAPH_INITIALIZER, BYTES):
            found.append(_initialiser(graph.inside(length), where))
            if len(found) > _MAX_INITIALISERS:
                raise InputError(f"over {_MAX_INITIALISERS} initialisers.", where=where)
    return found


def _initialiser(tensor: Message, where: str) -> Tensor:
    dims: list[int] = []
    kind_of, name = 0, ""
    for number, kind, value in tensor.fields():
        if number == _TENSOR_DIMS:
            dims += [value] if kind == VARINT else _packed(tensor.inside(value), value, where)
        elif (number, kind) == (_TENSOR_TYPE, VARINT):
            kind_of = value
        elif (number, kind) == (_TENSOR_NAME, BYTES):
            name = tensor.bytes(min(value, _MAX_NAME)).decode("utf-8", "replace")
    if len(dims) > MAX_DIMENSIONS or any(dim >= 2**63 for dim in dims):
        raise InputError(f"initialiser {name!r:.80} has a negative or endless shape.", where=where)
    if kind_of not in _DTYPES:
        raise InputError(f"initialiser {name!r:.80} has element type {kind_of}, which holds no weights.", where=where)
    dtype = _DTYPES[kind_of]
    return Tensor(name, tuple(dims), dtype, math.prod(dims) * dtype_bytes(dtype))


def _packed(numbers: Message, size: int, where: str) -> list[int]:
    if size > 10 * MAX_DIMENSIONS:
        raise InputError(f"an initialiser has over {MAX_DIMENSIONS} dimensions.", where=where)
    values = []
    while numbers.file.tell() < numbers.end:
        values.append(numbers.varint())
    return values
