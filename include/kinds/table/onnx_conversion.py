"""scikit-learn to ONNX by skl2onnx, with the converters' known faults mended, and the part of a model that can't be converted named.

Mended here, for skl2onnx 1.20: truth values as integer attributes; trees that send a missing number left or right as they learned; the
link of boosters with a Poisson or gamma loss; text normalisers that ask for a locale which a plain Debian has not.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from include.kinds.forms.onnx_graph import nodes
from include.kinds.table.boosters import converter
from include.kinds.table.boosters.trees import Unexportable

if TYPE_CHECKING:
    import pandas as pd
    from onnx import ModelProto

TREES = ("decision_tree", "random_forest", "gradient_boosting", "isolation_forest")
"""skl2onnx's converters that write trees of scikit-learn's own structure."""
LOCALE = "C.UTF-8"
"""glibc always has it; upper and lower case are Unicode's."""
FIRST_LINE = 200
"""Characters of a converter's message that are shown."""


def convert(model: Any, types: list[tuple[str, Any]], sparse: frozenset[int] = frozenset()) -> ModelProto:
    """``model`` as skl2onnx gives it for inputs of these skl2onnx ``types``; raises whatever its converters raise.

    ``sparse``: the parts that :func:`fed_sparse` found."""
    import skl2onnx

    converter.register(sparse)
    # Only classifiers with probabilities have the option; the others' scores are left out of the outputs later.
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    with ExitStack() as mended:
        for mend in (_whole_attributes, _missing_numbers, _links):
            mended.enter_context(mend())
        proto = skl2onnx.to_onnx(model, initial_types=types, options=options)
    _plain_locale(proto.graph)
    return proto


def fed_sparse(model: Any, x: pd.DataFrame) -> frozenset[int]:
    """The ids of the parts of a pipeline's last step that are given sparse rows, as they are for features ``x``."""
    from scipy.sparse import issparse

    steps = getattr(model, "steps", None) or []
    if len(steps) < 2 or not issparse(model[:-1].transform(x.head(1))):
        return frozenset()
    return frozenset(part for part, _ in _parts(steps[-1][1], ""))


@contextmanager
def _whole_attributes() -> Iterator[None]:
    """Lists of bool, which histogram gradient boosting's converter gives for integer attributes, are refused by protobuf 7."""
    from skl2onnx.common import _container

    original = _container.make_node

    def make_node(*args: Any, **attributes: Any) -> Any:
        return original(*args, **{name: _as_integers(value) for name, value in attributes.items()})

    with patch.object(_container, "make_node", make_node):
        yield


def _as_integers(value: Any) -> Any:
    import numpy as np

    if isinstance(value, list) and any(isinstance(item, bool | np.bool_) for item in value):
        return [int(item) for item in value]
    return value


@contextmanager
def _missing_numbers() -> Iterator[None]:
    """The converters write that every missing number goes right; the tree itself knows for each node."""
    from skl2onnx.common import tree_ensemble

    original, key = tree_ensemble.add_tree_to_attribute_pairs, "nodes_missing_value_tracks_true"

    def add(attributes: Any, is_classifier: Any, tree: Any, *args: Any, **kwargs: Any) -> None:
        before = len(attributes[key])
        original(attributes, is_classifier, tree, *args, **kwargs)
        left = getattr(tree, "missing_go_to_left", None)
        if left is not None and len(attributes[key]) - before == tree.node_count:
            attributes[key][before:] = [int(goes) for goes in left]

    with ExitStack() as patched:
        for module in _tree_converters():
            patched.enter_context(patch.object(module, "add_tree_to_attribute_pairs", add))
        yield


def _tree_converters() -> list[ModuleType]:
    return [importlib.import_module(f"skl2onnx.operator_converters.{name}") for name in TREES]


@contextmanager
def _links() -> Iterator[None]:
    """Histogram gradient boosting with a log link answers exp(sum of the trees); its converter leaves the exponential out."""
    from skl2onnx.common import _registration

    pool, name = _registration._converter_pool, "SklearnHistGradientBoostingRegressor"
    original = pool[name]

    def with_link(scope: Any, operator: Any, container: Any) -> None:
        original(scope, operator, container)
        if type(operator.raw_operator._loss.link).__name__ != "LogLink":
            return
        answer = operator.outputs[0].full_name
        raw = scope.get_unique_variable_name(f"{answer}_log")
        for node in container.nodes:
            for at, output in enumerate(node.output):
                if output == answer:
                    node.output[at] = raw
        container._added_names_.discard(answer)
        container.add_node("Exp", raw, answer, name=scope.get_unique_operator_name("Exp"))

    with patch.dict(pool, {name: _registration.RegisteredConverter(with_link, original.get_allowed_options())}):
        yield


def _plain_locale(graph: Any) -> None:
    from onnx import helper

    for node in nodes(graph):
        if node.op_type == "StringNormalizer":
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("locale", LOCALE)])


def culprit(model: Any, error: BaseException) -> tuple[Any, str]:
    """Find the part of ``model`` that ``error`` of a conversion is about: itself, and its name with its place
    (``KNNImputer (pipeline step 'impute')``)."""
    parts = dict(_parts(model, ""))
    found: Any = None
    trace = error.__traceback__
    while trace is not None:
        for name in ("operator", "op", "model", "model_item"):
            value = trace.tb_frame.f_locals.get(name)
            own = getattr(value, "raw_operator", value)
            if id(own) in parts:
                found = own
        trace = trace.tb_next
    named = re.search(r"<class '(?:[\w.]+\.)?(\w+)'>|alias '(?:Sklearn)?(\w+)'|of type (?:[\w.]+\.)?(\w+)", str(error))
    if named and (name := next(filter(None, named.groups()), "")):
        for place, own in ((place, own) for place, own in parts.values() if type(own).__name__ == name):
            return own, _named(own, place)
    if found is None:
        return model, _named(model, "")
    return found, _named(found, parts[id(found)][0])


def _named(part: Any, place: str) -> str:
    kind = type(part)
    own = f"{kind.__module__}.{kind.__name__}" if kind.__module__.partition(".")[0] != "sklearn" else kind.__name__
    return f"{own} ({place})" if place else own


def _parts(model: Any, place: str) -> Iterator[tuple[int, tuple[str, Any]]]:
    """Every estimator inside ``model``: its id, where it stands and itself; outer ones first."""
    yield id(model), (place, model)
    inner: list[tuple[str, Any]] = []
    for attribute in ("steps", "transformers_", "transformer_list", "estimators"):
        for entry in getattr(model, attribute, None) or ():
            if isinstance(entry, tuple) and len(entry) > 1:
                inner.append((f"step {entry[0]!r}", entry[1]))
    for attribute in ("estimator", "base_estimator", "final_estimator_", "estimator_", "best_estimator_", "regressor_", "transformer_"):
        inner.append((attribute.rstrip("_"), getattr(model, attribute, None)))
    for name, own in inner:
        if hasattr(own, "get_params") and not isinstance(own, type):
            yield from _parts(own, f"{place}, {name}" if place else name)


def first_line(error: BaseException) -> str:
    """A converter's message, short enough for a sentence."""
    if isinstance(error, Unexportable):
        return str(error)
    lines = re.sub(r"Load model from \S+ failed:\s*", "", str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:FIRST_LINE].rstrip()}" if lines else type(error).__name__
