"""A scikit-learn export without the operators of ``ai.onnx.ml`` that have an equal in plain ONNX: TensorRT knows plain ONNX only.

The arithmetic is ONNX's own definition of each operator. What has no equal (trees, text) stays, and :func:`foreign` names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

ML = "ai.onnx.ml"
INNER = "updraft/trt/"
"""Before the names of what is put in."""
BATCH = "batch"
"""Name of the dimension that varies: NVIDIA's tools want one."""


def plain(model: ModelProto) -> ModelProto:
    """A copy of ``model``, of the same inputs and outputs, that says in plain ONNX what can be said in it; the first dimension is named."""
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(model)
    graph = _Graph(copy)
    nodes = list(copy.graph.node)
    del copy.graph.node[:]
    for node in nodes:
        rewrite = _REWRITES.get(node.op_type) if node.domain == ML else None
        copy.graph.node.extend((rewrite(graph, node) if rewrite else None) or [node])
    for tensor in (*copy.graph.input, *copy.graph.output):
        first = tensor.type.tensor_type.shape.dim[:1]
        for size in first:
            if not size.dim_value:
                size.dim_param = BATCH
    used = {node.domain for node in copy.graph.node}
    imports = {one.domain: one.version for one in copy.opset_import}  # skl2onnx may name one domain twice
    del copy.opset_import[:]
    for domain, version in imports.items():
        if domain in ("", *used):
            copy.opset_import.add(domain=domain, version=version)
    return copy


def foreign(model: ModelProto) -> list[str]:
    """Types of operators that are not plain ONNX's."""
    return sorted({node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")})


class _Graph:
    """The constants of a graph."""

    def __init__(self, model: ModelProto) -> None:
        self._model, self._count = model, 0

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """A new constant's name."""
        import numpy as np
        from onnx import numpy_helper

        name = self.name("constant")
        self._model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def name(self, what: str) -> str:
        self._count += 1
        return f"{INNER}{what}_{self._count}"

    def dimensions(self, name: str) -> int | None:
        """Of a constant; None for what is computed."""
        return next((len(one.dims) for one in self._model.graph.initializer if one.name == name), None)


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _scaler(graph: _Graph, node: NodeProto) -> list[NodeProto]:
    """(x - offset) · scale"""
    from onnx import helper

    given, moved = _attributes(node), graph.name("moved")
    return [
        helper.make_node("Sub", [node.input[0], graph.constant(given.get("offset", [0.0]))], [moved]),
        helper.make_node("Mul", [moved, graph.constant(given.get("scale", [1.0]))], [node.output[0]]),
    ]


def _imputer(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
    """Other values for NaN."""
    import math

    from onnx import helper

    given, missing = _attributes(node), graph.name("missing")
    if not given.get("imputed_value_floats") or not math.isnan(given.get("replaced_value_float", 0.0)):
        return None
    values = graph.constant(given["imputed_value_floats"])
    return [
        helper.make_node("IsNaN", [node.input[0]], [missing]),
        helper.make_node("Where", [missing, values, node.input[0]], [node.output[0]]),
    ]


def _extractor(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
    """Elements of a constant vector, as one row."""
    from onnx import helper

    if graph.dimensions(node.input[0]) != 1:
        return None
    at = graph.name("at")
    return [
        helper.make_node("Reshape", [node.input[1], graph.constant([1, -1], "int64")], [at]),
        helper.make_node("Gather", [node.input[0], at], [node.output[0]], axis=0),
    ]


def _normalizer(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
    """Rows over their norm."""
    from onnx import helper

    reduce = {b"L1": "ReduceL1", b"L2": "ReduceL2"}.get(_attributes(node).get("norm", b"MAX"))
    if reduce is None:
        return None
    norm = graph.name("norm")
    return [
        helper.make_node(reduce, [node.input[0], graph.constant([1], "int64")], [norm], keepdims=1),
        helper.make_node("Div", [node.input[0], norm], [node.output[0]]),
    ]


def _linear(graph: _Graph, node: NodeProto, rows: int, output: str) -> list[NodeProto]:
    """x · coefficients' rows + intercepts"""
    import numpy as np
    from onnx import helper

    given = _attributes(node)
    weights = np.asarray(given["coefficients"], dtype="float32").reshape(rows, -1)
    inputs = [node.input[0], graph.constant(weights.T)]
    product = graph.name("product")
    return [
        helper.make_node("MatMul", inputs, [product]),
        helper.make_node("Add", [product, graph.constant(given.get("intercepts") or [0.0])], [output]),
    ]


def _regressor(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
    given = _attributes(node)
    if given.get("post_transform", b"NONE") != b"NONE":
        return None
    return _linear(graph, node, given.get("targets", 1), node.output[0])


def _classifier(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
    """The class of the highest score, and the scores as the transform makes them; whole-number classes with a score each."""
    from onnx import helper

    given = _attributes(node)
    classes = given.get("classlabels_ints")
    transform = {b"NONE": "Identity", b"SOFTMAX": "Softmax", b"LOGISTIC": "Sigmoid"}.get(given.get("post_transform", b"NONE"))
    if not classes or len(classes) < 2 or transform is None or len(given.get("intercepts", ())) not in (0, len(classes)):
        return None
    scores, best = graph.name("scores"), graph.name("best")
    options = {"axis": 1} if transform == "Softmax" else {}
    return [
        *_linear(graph, node, len(classes), scores),
        helper.make_node(transform, [scores], [node.output[1]], **options),
        helper.make_node("ArgMax", [scores], [best], axis=1, keepdims=0),
        helper.make_node("Gather", [graph.constant(classes, "int64"), best], [node.output[0]], axis=0),
    ]


_REWRITES: dict[str, Callable[[_Graph, NodeProto], list[NodeProto] | None]] = {
    "Scaler": _scaler,
    "Imputer": _imputer,
    "ArrayFeatureExtractor": _extractor,
    "Normalizer": _normalizer,
    "LinearRegressor": _regressor,
    "LinearClassifier": _classifier,
}
