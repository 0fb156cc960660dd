"""A fitted scikit-learn estimator as an ONNX graph with the tensors of ``include.bundles.signature``.

The inputs' types are the data's (``inputs_of``). What the converted model computes in is tried out: 32-bit floats, then 64-bit ones, each
with whole numbers as they are and as floats. Which attempt is the model, the caller finds out by comparing answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.bundles.signature import INPUT, LABEL, PREDICTION, PROBABILITIES, Tensor
from include.errors import InputError
from include.kinds.forms import onnx_graph
from include.kinds.table import onnx_conversion
from include.kinds.table.boosters.trees import Unexportable
from include.kinds.table.onnx_remedies import by_message, helps
from include.spec.schema import Task

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from onnx import GraphProto, ModelProto

RESERVED = (INPUT, LABEL, PROBABILITIES, PREDICTION)
PREFIX = "updraft/"
"""Before every inner name, so that none equals a tensor's name of the convention."""


@dataclass(frozen=True)
class Arithmetic:
    """What an attempt computes in: the type of its floats, whether whole numbers stay whole, whether numbers go in as one tensor."""

    floats: str
    whole: bool
    together: bool

    def __str__(self) -> str:
        return f"{'64' if self.floats == 'FP64' else '32'}-bit floats{' and whole numbers' if self.whole else ''}"


@dataclass(frozen=True)
class Attempt:
    """A conversion: ``proto``, or the ``error`` that skl2onnx raised."""

    arithmetic: Arithmetic
    proto: ModelProto | None = None
    error: Exception | None = None


def inputs_of(x: pd.DataFrame, wide: Collection[str]) -> tuple[Tensor, ...]:
    """The tensors that features ``x`` (in the table's convention) are served by. InputError when a column's name is reserved."""
    if all(kind.kind == "f" for kind in x.dtypes if hasattr(kind, "kind")):
        return (Tensor(INPUT, "FP64" if set(wide) & set(x.columns) else "FP32", (-1, x.shape[1])),)
    if taken := sorted(set(RESERVED) & set(x.columns)):
        raise InputError(
            f"the name {taken[0]!r} is reserved.", where=f"column {taken[0]!r}", remedy="Rename the column in the data source."
        )
    kinds = {"O": "BYTES", "i": "INT64"}
    return tuple(Tensor(name, kinds.get(x[name].dtype.kind) or ("FP64" if name in wide else "FP32"), (-1, 1)) for name in x.columns)


def dropped(model: Any, columns: Collection[str]) -> frozenset[str]:
    """Those of the ``columns`` that a fitted ``model`` gives to none of its parts: its first step is a ColumnTransformer without them."""
    steps = getattr(model, "steps", None)
    first = steps[0][1] if steps else model
    used: set[str] = set()
    for _, part, own in getattr(first, "transformers_", None) or [("", model, list(columns))]:
        if not isinstance(part, str) or part != "drop":
            picked = [own] if isinstance(own, str) else list(own) if isinstance(own, list) else None
            if picked is None or not all(isinstance(name, str) for name in picked):
                return frozenset()  # by number, slice or mask: who asks is told no less than before
            used |= set(picked)
    return frozenset(columns) - used


def attempts(model: Any, x: pd.DataFrame, wide: Collection[str], task: Task) -> Iterator[Attempt]:
    """``model`` as ONNX in one arithmetic after the other, the fastest first; ``x`` gives the features' names and types."""
    inputs = inputs_of(x, wide)
    numeric = inputs[0].name == INPUT
    ways = [
        Arithmetic(floats, whole, together)
        for floats in ("FP32", "FP64")
        for whole, together in (((False, True), (False, False)) if numeric else ((True, False), (False, False)))
        if numeric or not whole or "i" in {kind.kind for kind in x.dtypes}
    ]
    sparse = onnx_conversion.fed_sparse(model, x)
    for way in ways:
        try:
            proto = onnx_conversion.convert(model, types(x, way), sparse)
            yield Attempt(way, _conventional(_served(proto, inputs, x, way), task, hasattr(model, "predict_proba")))
        except Exception as error:  # skl2onnx raises whatever its converters raise
            yield Attempt(way, error=error)


def refusal(model: Any, failures: list[Attempt]) -> InputError:
    """Why nothing could be converted: the part that the most telling failure is about, the cause, and what helps."""
    error = max((attempt.error for attempt in failures if attempt.error is not None), key=_telling)
    part, name = onnx_conversion.culprit(model, error)
    own = error.remedy if isinstance(error, Unexportable) else by_message(str(error)) or helps(part) or f"Replace {name.partition(' (')[0]}"
    return InputError(
        f"{name} cannot be exported to ONNX ({onnx_conversion.first_line(error)}).",
        where="train.entry",
        remedy=f"{own}; docs/exports.md lists the estimators that can be exported, and the data source can do a part's work too.",
    )


def _telling(error: Exception) -> int:
    """That a part has no converter is the model's own; that a column isn't found by its name comes from asking with one tensor."""
    if isinstance(error, Unexportable) or type(error).__name__ in ("MissingConverter", "MissingShapeCalculator"):
        return 2
    return 0 if "Unable to find column name" in str(error) else 1


def arrays(x: pd.DataFrame, way: Arithmetic) -> list[npt.NDArray[Any]]:
    """The features ``x`` as the inputs of a conversion for :func:`types`, in their order."""
    floats = "float64" if way.floats == "FP64" else "float32"
    if way.together:
        return [x.to_numpy(dtype=floats)]
    kinds = [object if x[name].dtype.kind == "O" else "int64" if way.whole and x[name].dtype.kind == "i" else floats for name in x.columns]
    return [x[name].to_numpy(dtype=kind).reshape(-1, 1) for name, kind in zip(x.columns, kinds, strict=True)]


def types(x: pd.DataFrame, way: Arithmetic) -> list[tuple[str, Any]]:
    """skl2onnx's types of the features ``x`` in that arithmetic, by name."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    floats = DoubleTensorType if way.floats == "FP64" else FloatTensorType
    if way.together:
        return [(INPUT, floats([None, x.shape[1]]))]

    def kind(column: pd.Series[Any]) -> Any:
        if column.dtype.kind == "O":
            return StringTensorType([None, 1])
        return Int64TensorType([None, 1]) if way.whole and column.dtype.kind == "i" else floats([None, 1])

    return [(name, kind(x[name])) for name in x.columns]


def _served(proto: ModelProto, inputs: tuple[Tensor, ...], x: pd.DataFrame, way: Arithmetic) -> ModelProto:
    """``proto`` behind the tensors that callers send: renamed within, cast and divided as its own inputs want it."""
    import numpy as np
    from onnx import helper, numpy_helper

    types = {tensor.name: _onnx_type(tensor.datatype) for tensor in inputs}
    wanted = [(f"{PREFIX}{value.name}", value.type.tensor_type.elem_type) for value in proto.graph.input]
    _prefix(proto.graph)
    graph, nodes = proto.graph, []
    if not way.together and len(wanted) != x.shape[1]:
        raise RuntimeError(f"the conversion has {len(wanted)} inputs for {x.shape[1]} columns")
    del graph.input[:]
    used = {name for node in onnx_graph.nodes(graph) for name in node.input}
    for at, (own, kind) in enumerate(wanted):
        if own not in used and len(wanted) > 1:
            continue  # a column that the pipeline drops
        source = inputs[0].name if len(inputs) == 1 and inputs[0].name == INPUT else inputs[at].name
        whole = source == INPUT and not way.together
        picked = f"{PREFIX}picked_{at}" if whole else source
        if whole:
            # Gather, since it is the same in every version of the operator set.
            graph.initializer.append(numpy_helper.from_array(np.array([at], dtype=np.int64), f"{PREFIX}column_{at}"))
            nodes.append(helper.make_node("Gather", [source, f"{PREFIX}column_{at}"], [picked], axis=1))
        nodes.append(helper.make_node("Cast" if kind != types[source] else "Identity", [picked], [own], **_to(kind, types[source])))
        if source not in {value.name for value in graph.input}:
            size = x.shape[1] if source == INPUT else 1
            graph.input.append(helper.make_tensor_value_info(source, types[source], [None, size]))
    first = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *first])
    return proto


def _to(kind: int, source: int) -> dict[str, int]:
    return {"to": kind} if kind != source else {}


def _onnx_type(datatype: str) -> int:
    from onnx import TensorProto

    kinds = {"FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE, "INT64": TensorProto.INT64, "BYTES": TensorProto.STRING}
    return int(kinds[datatype])


def _prefix(graph: GraphProto) -> None:
    """Put ``PREFIX`` before every name, in subgraphs too: inner and outer names then still agree, and an empty one stays empty."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = PREFIX + value.name
    for number, node in enumerate(graph.node):
        node.name = f"{PREFIX}{node.name or number}"
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = PREFIX + name if name else name
        for inner in onnx_graph.inside(node):
            _prefix(inner)


def _conventional(proto: ModelProto, task: Task, probabilities: bool) -> ModelProto:
    """Outputs named and shaped by the convention; a classifier without probabilities keeps its label only."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    old = list(graph.output)
    del graph.output[:]
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 1], dtype=np.int64), f"{PREFIX}as_column"))

    def column(source: str, name: str, kind: int) -> None:
        graph.node.append(helper.make_node("Reshape", [source, f"{PREFIX}as_column"], [name]))
        graph.output.append(helper.make_tensor_value_info(name, kind, [None, 1]))

    if task is Task.REGRESSION:
        own = old[0].type.tensor_type.elem_type
        kind = TensorProto.DOUBLE if own == TensorProto.DOUBLE else TensorProto.FLOAT
        graph.node.append(helper.make_node("Cast", [old[0].name], [f"{PREFIX}prediction_float"], to=kind))
        column(f"{PREFIX}prediction_float", PREDICTION, kind)
        return proto
    text = old[0].type.tensor_type.elem_type == TensorProto.STRING
    if not text:
        graph.node.append(helper.make_node("Cast", [old[0].name], [f"{PREFIX}label_int64"], to=TensorProto.INT64))
    column(old[0].name if text else f"{PREFIX}label_int64", LABEL, TensorProto.STRING if text else TensorProto.INT64)
    if probabilities:
        shape = [size.dim_value or None for size in old[1].type.tensor_type.shape.dim]
        graph.node.append(helper.make_node("Cast", [old[1].name], [PROBABILITIES], to=TensorProto.FLOAT))
        graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [None, shape[-1] if shape else None]))
    return proto
