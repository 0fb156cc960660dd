"""Which columns a fitted model gives to none of its parts."""

from types import SimpleNamespace
from typing import Any

import pytest

from include.bundles import api
from include.bundles.signature import Signature, Tensor
from include.kinds.table.onnx_export import dropped

COLUMNS = ("age", "plan", "note")


def pipeline(*transformers: tuple[str, Any, Any]) -> SimpleNamespace:
    return SimpleNamespace(steps=[("columns", SimpleNamespace(transformers_=list(transformers))), ("last", object())])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (pipeline(("n", object(), ["age"]), ("t", object(), "plan"), ("remainder", "drop", ["note"])), {"note"}),
        (pipeline(("n", object(), ["age"]), ("remainder", "passthrough", ["plan", "note"])), set()),
        (pipeline(("n", "drop", ["age"]), ("t", object(), ["plan", "age"])), {"note"}),
        (pipeline(("n", object(), [0]), ("remainder", "drop", [1, 2])), set()),
        (pipeline(("n", object(), slice(0, 1))), set()),
        (SimpleNamespace(), set()),
    ],
)
def test_what_no_part_is_given_is_dropped(model: Any, expected: set[str]) -> None:
    assert dropped(model, COLUMNS) == expected


def test_a_new_column_that_is_dropped_breaks_no_call() -> None:
    def signature(*tensors: Tensor) -> Signature:
        return Signature(tensors, (), tuple(tensor.name for tensor in tensors))

    before = signature(Tensor("plan", "BYTES", (-1, 1)))
    new = Tensor("note", "BYTES", (-1, 1))
    assert api.changes(before, signature(*before.inputs, new)) == ("input 'note' is new, and must be sent",)
    assert api.changes(before, signature(*before.inputs, Tensor("note", "BYTES", (-1, 1), optional=True))) == ()
