"""The converters that skl2onnx is given for estimators of XGBoost, LightGBM and CatBoost, alone or inside a pipeline.

Those of onnxmltools are not used: docs/decisions/0027-boosters.md tells what they answer otherwise than the libraries.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from include.kinds.table.boosters import of_catboost, of_lightgbm, of_xgboost
from include.kinds.table.boosters.trees import Boosted, Link, Unexportable

ESTIMATORS: dict[str, tuple[str, tuple[str, ...], Callable[[Any], Boosted]]] = {
    "xgboost": ("sklearn", ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"), of_xgboost.read),
    "lightgbm": ("sklearn", ("LGBMClassifier", "LGBMRegressor"), of_lightgbm.read),
    "catboost": ("core", ("CatBoostClassifier", "CatBoostRegressor"), of_catboost.read),
}
"""Package → its module, its estimators there, and who reads them."""
ZERO = 1e-35
"""LightGBM takes a number for 0 up to here."""


def register(sparse: frozenset[int]) -> None:
    """Tell skl2onnx of the estimators whose package has been imported: a model of another package can't be in hand.

    ``sparse``: the ids of those that get sparse rows from the step before. What such a row doesn't hold is 0, but to XGBoost it is a
    missing number.
    """
    from skl2onnx import update_registered_converter

    for package, (module, names, reader) in ESTIMATORS.items():
        there = sys.modules.get(f"{package}.{module}")
        for name in names if there is not None else ():
            alias = f"Updraft{name}"
            convert = _converter(reader, sparse if package == "xgboost" else frozenset())
            update_registered_converter(
                getattr(there, name), alias, _shapes, convert, options={"zipmap": [False], "nocl": [True, False]}, parser=_parser
            )


def _classifies(model: Any) -> bool:
    from sklearn.base import is_classifier

    return bool(is_classifier(model))


def _parser(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """The variables that come out of ``model``: label and probabilities, or a number."""
    from skl2onnx._supported_operators import _get_sklearn_operator_name
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    operator = scope.declare_local_operator(_get_sklearn_operator_name(type(model)), model)
    operator.inputs = inputs
    if _classifies(model):
        operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
        operator.outputs.append(scope.declare_local_variable("probabilities", FloatTensorType()))
    else:
        operator.outputs.append(scope.declare_local_variable("variable", FloatTensorType()))
    return operator.outputs


def _shapes(operator: Any) -> None:
    import numpy as np
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    rows = operator.inputs[0].get_first_dimension()
    model = operator.raw_operator
    if not _classifies(model):
        operator.outputs[0].type = FloatTensorType([rows, 1])
        return
    classes = np.asarray(model.classes_)
    operator.outputs[0].type = (Int64TensorType if classes.dtype.kind in "iufb" else StringTensorType)([rows])
    operator.outputs[1].type = FloatTensorType([rows, len(classes)])


def _converter(read: Callable[[Any], Boosted], zeros_missing: frozenset[int]) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        # skl2onnx names the part that failed by what it finds under this name in a traceback.
        model = operator.raw_operator
        boosted = read(model)
        if id(model) in zeros_missing:
            boosted = replace(boosted, missing=0.0)
        if not boosted.trees.nodes_treeids:
            raise Unexportable("it has no trees", "Train it for more rounds")
        _Graph(scope, container).write(model, boosted, operator)

    return convert


class _Graph:
    """Writes nodes into skl2onnx's container under names of their own."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def node(self, kind: str, inputs: list[str], out: str | None = None, domain: str = "", version: int | None = None, **own: Any) -> str:
        name = out or self._scope.get_unique_variable_name(kind.lower())
        self._container.add_node(
            kind, inputs, name, op_domain=domain, op_version=version, name=self._scope.get_unique_operator_name(kind), **own
        )
        return name

    def constant(self, values: Any, dtype: str) -> str:
        import numpy as np
        from onnx import TensorProto

        kinds = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64, "object": TensorProto.STRING}
        array = np.asarray(values, dtype=dtype)
        name = self._scope.get_unique_variable_name("constant")
        flat = [value.encode() for value in array.ravel()] if dtype == "object" else array.ravel().tolist()
        self._container.add_initializer(name, kinds[dtype], list(array.shape), flat)
        return str(name)

    def write(self, model: Any, boosted: Boosted, operator: Any) -> None:
        """``model``'s answer to the operator's inputs, into its outputs."""
        import numpy as np

        wide = not boosted.narrow and any(type(one.type).__name__ in ("DoubleTensorType", "Int64TensorType") for one in operator.inputs)
        dtype = "float64" if wide else "float32"
        rows = self._missing(self._rows(operator.inputs, dtype), boosted, dtype, _width(model))
        raw = self._ensemble(rows, boosted, wide)
        if not _classifies(model):
            self._linked(raw, boosted, operator.outputs[0].full_name)
            return
        classes = np.asarray(model.classes_)
        if len(boosted.base) == 1:
            second = self._linked(raw, boosted)
            first = self.node("Sub", [self.constant([1.0], "float32"), second])
            probabilities = self.node("Concat", [first, second], operator.outputs[1].full_name, axis=1)
            above = self.node("Greater", [second, self.constant([boosted.threshold], "float32")])
            picked = self.node("Cast", [above], to=7)
        else:
            probabilities = self._linked(raw, boosted, operator.outputs[1].full_name)
            picked = self.node("ArgMax", [probabilities], axis=1, keepdims=1)
        picked = self.node("Reshape", [picked, self.constant([-1], "int64")])
        numbers = classes.dtype.kind in "iufb"
        named = self.constant(classes.astype("int64") if numbers else classes.astype(str).astype(object), "int64" if numbers else "object")
        self.node("Gather", [named, picked], operator.outputs[0].full_name, axis=0)

    def _rows(self, inputs: Any, dtype: str) -> str:
        """All inputs as one tensor of rows."""
        kind = 11 if dtype == "float64" else 1
        parts = [self.node("Cast", [one.full_name], to=kind) for one in inputs]
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, axis=1)

    def _missing(self, rows: str, boosted: Boosted, dtype: str, width: int) -> str:
        """What the library does to numbers before its trees see them."""
        nothing = self.constant([float("nan")], dtype) if boosted.missing == boosted.missing or boosted.zeros_missing else ""
        if boosted.missing == boosted.missing:
            rows = self.node("Where", [self.node("Equal", [rows, self.constant([boosted.missing], dtype)]), nothing, rows])
        if boosted.zeros_missing:
            reach = [[ZERO if at in boosted.zeros_missing else -1.0 for at in range(width)]]
            near = self.node("LessOrEqual", [self.node("Abs", [rows]), self.constant(reach, dtype)])
            rows = self.node("Where", [near, nothing, rows])
        if boosted.categories:
            whole = self.node("Mul", [self.node("Sign", [rows]), self.node("Floor", [self.node("Abs", [rows])])])
            chosen = [[at in boosted.categories for at in range(width)]]
            rows = self.node("Where", [self.node("Cast", [self.constant(chosen, "int64")], to=9), whole, rows])
        return rows

    def _ensemble(self, rows: str, boosted: Boosted, wide: bool) -> str:
        attributes = boosted.trees.attributes(wide=wide)
        base: Any = list(boosted.base)
        if wide:
            import numpy as np
            from onnx import numpy_helper

            values = {"nodes_values": attributes.pop("nodes_values"), "target_weights": attributes.pop("target_weights")}
            for name, array in (*values.items(), ("base_values", np.array(base))):
                attributes[f"{name}_as_tensor"] = numpy_helper.from_array(array, name)
        else:
            attributes["base_values"] = base
        return self.node(
            "TreeEnsembleRegressor", [rows], domain="ai.onnx.ml", version=3, n_targets=len(base), post_transform="NONE", **attributes
        )

    def _linked(self, raw: str, boosted: Boosted, out: str | None = None) -> str:
        """``raw`` through the model's link."""
        if boosted.slope != 1.0:
            raw = self.node("Mul", [raw, self.constant([boosted.slope], "float32")])
        if boosted.link is Link.SIGNED_SQUARE:
            return self.node("Mul", [self.node("Abs", [raw]), raw], out)
        if boosted.link is Link.STEP:
            return self.node("Cast", [self.node("Greater", [raw, self.constant([0.0], "float32")])], out, to=1)
        kinds = {Link.IDENTITY: "Identity", Link.SIGMOID: "Sigmoid", Link.EXP: "Exp", Link.LOG1P_EXP: "Softplus"}
        if boosted.link is Link.SOFTMAX:
            return self.node("Softmax", [raw], out, axis=1)
        return self.node(kinds[boosted.link], [raw], out)


def _width(model: Any) -> int:
    return int(model.n_features_in_)
