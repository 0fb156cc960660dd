"""The kinds of models there are, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.kinds.llm.kind import LanguageModel
from include.kinds.table.kind import TableModel
from include.kinds.tensor.kind import TensorKind

if TYPE_CHECKING:
    from include.kinds.kind import Kind
    from include.spec.schema import Spec
    from include.spec.serve import Serve

TABLE = TableModel()
"""The kind of a spec that names none."""
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        TABLE,
        LanguageModel(),
        TensorKind(),
    )
}


def kind_of(spec: Spec) -> Kind:
    """Return the kind of a spec."""
    return KINDS[spec.kind]


def kind_serving(serve: Serve) -> Kind:
    """Return the kind whose models are served by such a part ``serve``."""
    return KINDS[serve.kind]
