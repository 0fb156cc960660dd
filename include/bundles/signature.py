"""What a served model takes and gives, in the words of the KServe v2 inference protocol.

One convention for every model that Updraft exports:

* all features numeric: one tensor ``input``, FP32 (FP64 where a float32 doesn't hold the data), [-1, number of features], columns in the
order of ``features``;
* otherwise: one tensor a feature, under its column's own name, FP32 (FP64), INT64 or BYTES, [-1, 1]; one that the model drops is optional;
* classification answers ``label`` (INT64 or BYTES, [-1, 1]) and, where the model has them, ``probabilities`` (FP32, [-1, number of
classes], columns in the order of ``classes``); regression answers ``prediction`` (FP32 or
FP64, [-1, 1]).

The first dimension is the batch in every tensor, as Triton's dynamic batching wants it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.limits import Limit
from include.bundles.pictures import Picture
from include.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from mlflow.models import ModelSignature

INPUT, LABEL, PROBABILITIES, PREDICTION = "input", "label", "probabilities", "prediction"

NUMPY_TYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
"""KServe v2 datatype → numpy dtype name."""

_ONNX_TYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


@dataclass(frozen=True)
class Tensor:
    """One named tensor; -1 in ``shape`` is a dimension that varies (the batch). ``optional``: the model answers alike without it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False

    def __post_init__(self) -> None:
        if self.datatype not in NUMPY_TYPES:
            raise InputError(
                f"{self.datatype!r} is no KServe v2 datatype.", where=self.name, remedy=f"Use one of {', '.join(NUMPY_TYPES)}."
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of an element (``object`` for BYTES)."""
        import numpy as np

        return np.dtype(NUMPY_TYPES[self.datatype])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tensor:
        return cls(data["name"], data["datatype"], tuple(data["shape"]), data.get("optional", False))


@dataclass(frozen=True)
class Signature:
    """``features`` are the columns behind the inputs, in order; ``classes`` the labels behind the columns of ``probabilities``; ``limits``
    what the model does not take of a column; ``images`` the inputs that are pictures: files, in JSON as Base64; ``limited`` is False for
    one of an earlier version of Updraft, which has not looked for limits; ``truths``: the columns of truth values, None where not known."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    features: tuple[str, ...] = ()
    classes: tuple[int | str, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    images: Mapping[str, Picture] = field(default_factory=dict)
    limited: bool = True
    truths: tuple[str, ...] | None = None

    def input(self, name: str) -> Tensor:
        """The input of that name; KeyError when there is none."""
        return {tensor.name: tensor for tensor in self.inputs}[name]

    def output(self, name: str) -> Tensor:
        """The output of that name; KeyError when there is none."""
        return {tensor.name: tensor for tensor in self.outputs}[name]

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Signature:
        return cls(
            inputs=tuple(Tensor.from_json(tensor) for tensor in data["inputs"]),
            outputs=tuple(Tensor.from_json(tensor) for tensor in data["outputs"]),
            features=tuple(data.get("features", ())),
            classes=tuple(data.get("classes", ())),
            limits={name: Limit.from_json(limit) for name, limit in data.get("limits", {}).items()},
            images={name: Picture.from_json(picture) for name, picture in data.get("images", {}).items()},
            limited=data.get("limited", "limits" in data),
            truths=None if data.get("truths") is None else tuple(data["truths"]),
        )

    def takes(self, rows: Mapping[str, Any]) -> str:
        """Why these arrays by tensor name are refused; empty when they are not."""
        from include.bundles.limits import refusal

        return refusal(self.limits, self.features, rows)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_json(), indent=1))

    @classmethod
    def read(cls, path: Path) -> Signature:
        """From a ``signature.json``; InputError when it is none."""
        try:
            return cls.from_json(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"is no signature: {error!r}.", where=str(path), remedy="Run the optimize step again.") from error

    @classmethod
    def from_onnx(cls, path: Path, features: tuple[str, ...] = (), classes: tuple[int | str, ...] = ()) -> Signature:
        """Read from the ONNX file's graph (needs onnxruntime); a named or missing dimension becomes -1."""
        import onnxruntime

        return cls.of_session(onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]), features, classes)

    @classmethod
    def of_session(cls, session: Any, features: tuple[str, ...] = (), classes: tuple[int | str, ...] = ()) -> Signature:
        """Read from ONNX Runtime's session of a graph."""
        return cls(
            tuple(_onnx_tensor(node) for node in session.get_inputs()),
            tuple(_onnx_tensor(node) for node in session.get_outputs()),
            features,
            classes,
        )

    def to_mlflow(self) -> ModelSignature:
        """As MLflow's tensor signature, for `mlflow models serve` and the model's page."""
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        def schema(tensors: tuple[Tensor, ...]) -> Schema:
            return Schema([TensorSpec(tensor.dtype, tensor.shape, tensor.name) for tensor in tensors if not tensor.optional])

        return ModelSignature(inputs=schema(self.inputs), outputs=schema(self.outputs))


def _onnx_tensor(node: Any) -> Tensor:
    if node.type not in _ONNX_TYPES:
        raise InputError(f"has type {node.type}, which the protocol cannot carry.", where=node.name, remedy="Export plain tensors only.")
    return Tensor(node.name, _ONNX_TYPES[node.type], tuple(size if isinstance(size, int) else -1 for size in node.shape))
