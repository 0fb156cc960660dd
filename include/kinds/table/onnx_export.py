"""A fitted scikit-learn estimator as a plain ONNX graph with the tensors of ``include.bundles.signature``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.bundles.signature import INPUT, LABEL, PREDICTION, PROBABILITIES
from include.errors import InputError
from include.spec.schema import Task

if TYPE_CHECKING:
    import pandas as pd
    from onnx import ModelProto

RESERVED = (INPUT, LABEL, PROBABILITIES, PREDICTION)
PREFIX = "updraft/"
"""Before every inner name, so that none equals a tensor's name of the convention."""


def export(model: Any, x: pd.DataFrame, task: Task) -> ModelProto:
    """``model`` as ONNX; ``x`` gives the features' names and types. InputError names the estimator that cannot be converted.

    Whole-number columns of a mixed table are INT64, and FP32 where the conversion does not take them together with other numbers.
    """
    numeric = all(kind.kind == "f" for kind in x.dtypes if hasattr(kind, "kind"))
    attempts: list[Callable[[], ModelProto]] = (
        [lambda: _convert(model, _one_tensor(x)), lambda: _split_input(_convert(model, _columns(x, whole=False)), list(x.columns))]
        if numeric
        else [lambda: _convert(model, _columns(x, whole=True)), lambda: _convert(model, _columns(x, whole=False))]
    )
    if not numeric and (taken := sorted(set(RESERVED) & set(x.columns))):
        raise InputError(
            f"the name {taken[0]!r} is reserved.", where=f"column {taken[0]!r}", remedy="Rename the column in the data source."
        )
    failures: list[Exception] = []
    for attempt in attempts:
        try:
            return _conventional(attempt(), task, hasattr(model, "predict_proba"))
        except InputError:
            raise
        except Exception as error:  # skl2onnx raises whatever its converters raise
            failures.append(error)
    raise _explained(model, failures[0]) from failures[0]


def _explained(model: Any, error: Exception) -> InputError:
    named = re.search(r"<class '([\w.]+)'>", str(error)) or re.search(r"alias '(\w+)'", str(error))
    culprit = named.group(1) if named else f"{type(model).__module__}.{type(model).__name__}"
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    return InputError(
        f"{culprit} cannot be exported to ONNX ({type(error).__name__}: {first[:200]}).",
        where="train.entry",
        remedy="Return a model made of the estimators that skl2onnx converts (its documentation lists them), or replace this part.",
    )


def _one_tensor(x: pd.DataFrame) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType

    return [(INPUT, FloatTensorType([None, x.shape[1]]))]


def _columns(x: pd.DataFrame, whole: bool) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    def kind(column: pd.Series[Any]) -> Any:
        if column.dtype.kind == "O":
            return StringTensorType([None, 1])
        return Int64TensorType([None, 1]) if whole and column.dtype.kind == "i" else FloatTensorType([None, 1])

    return [(name, kind(x[name])) for name in x.columns]


def _convert(model: Any, types: list[tuple[str, Any]]) -> ModelProto:
    import skl2onnx

    # Only classifiers with probabilities have the option; the others' scores are left out of the outputs later.
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    with _truth_values_as_integers():
        return skl2onnx.to_onnx(model, initial_types=types, options=options)


@contextmanager
def _truth_values_as_integers() -> Iterator[None]:
    """skl2onnx 1.20 gives lists of bool for integer attributes (histogram gradient boosting's missing values), which protobuf 7 refuses."""
    from skl2onnx.common import _container

    original = _container.make_node

    def make_node(*args: Any, **attributes: Any) -> Any:
        return original(*args, **{name: _as_integers(value) for name, value in attributes.items()})

    _container.make_node = make_node
    try:
        yield
    finally:
        _container.make_node = original


def _as_integers(value: Any) -> Any:
    import numpy as np

    if isinstance(value, list) and any(isinstance(item, bool | np.bool_) for item in value):
        return [int(item) for item in value]
    return value


def _split_input(proto: ModelProto, columns: list[str]) -> ModelProto:
    """One FP32 tensor in front of a graph that takes a tensor a column (a ColumnTransformer chooses columns by name)."""
    import numpy as np
    from onnx import helper, numpy_helper

    graph = proto.graph
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, 1, [None, len(columns)]))
    for index, name in reversed(list(enumerate(columns))):
        # Gather, since it is the same in every version of the operator set.
        graph.initializer.append(numpy_helper.from_array(np.array([index], dtype=np.int64), f"column_{index}"))
        graph.node.insert(0, helper.make_node("Gather", [INPUT, f"column_{index}"], [name], axis=1))
    return proto


def _conventional(proto: ModelProto, task: Task, probabilities: bool) -> ModelProto:
    """Outputs named and shaped by the convention; a classifier without probabilities keeps its label only."""
    import numpy as np
    from onnx import TensorProto, compose, helper, numpy_helper

    proto = compose.add_prefix(proto, PREFIX, rename_inputs=False)
    graph = proto.graph
    old = list(graph.output)
    del graph.output[:]
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 1], dtype=np.int64), f"{PREFIX}column"))

    def column(source: str, name: str, kind: int) -> None:
        graph.node.append(helper.make_node("Reshape", [source, f"{PREFIX}column"], [name]))
        graph.output.append(helper.make_tensor_value_info(name, kind, [None, 1]))

    if task is Task.REGRESSION:
        graph.node.append(helper.make_node("Cast", [old[0].name], [f"{PREFIX}prediction_fp32"], to=TensorProto.FLOAT))
        column(f"{PREFIX}prediction_fp32", PREDICTION, TensorProto.FLOAT)
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
