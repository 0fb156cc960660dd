"""A model folder's ``model.yaml`` as a checked spec of its kind. Nothing of the user's is imported, so that DAG files may call it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from include.errors import InputError
from include.kinds.registry import KINDS, TABLE, kind_of
from include.runtime import layers
from include.spec import document
from include.spec.document import Fault
from include.spec.faults import faults as common_faults
from include.spec.files import serve_faults
from include.spec.problem import Problem, SpecError, nearest
from include.spec.schema import Spec
from include.spec.translate import problems, shown

FILE = "model.yaml"
STEPS = ("base", "extract", "train", "evaluate", "optimize", "verify")
"""Every step of a lifecycle; each runs with the model's own packages."""
S = TypeVar("S", bound=Spec)


def load_as(path: Path, kind: type[S]) -> S:
    """The spec in ``path``, which must be of this kind. Raises ``SpecError``."""
    spec = load(path)
    if not isinstance(spec, kind):
        raise SpecError([Problem(path, f"is of kind {spec.kind}, which this does not handle.")])
    return spec


def load(path: Path) -> Spec:
    """The spec in ``path`` (a ``model.yaml``).

    Raises ``SpecError`` with every problem found: those of the schema; if there are none, of how the fields fit together and of the files.
    """
    path = Path(path).absolute()
    doc = document.read(path)
    if not isinstance(doc.value, dict):
        raise SpecError([Problem(path, "is not a mapping.", remedy="Write `name: value` lines, beginning with `name`, `task` and `data`.")])
    found, spec = _validated(doc)
    if spec is not None:
        wrong = [*contradictions(spec), *kind_of(spec).file_faults(spec, path.parent), *serve_faults(spec, path.parent)]
        found += [doc.problem(at, message, **more) for at, message, more in wrong]
        found += _packages(spec, path.parent)
    if found:
        raise SpecError(found)
    assert spec is not None
    return spec


def check_columns(path: Path, spec: Spec) -> None:
    """Raise ``SpecError`` with every column that the ``spec`` in ``path`` names and its file of data has not, where that is at hand."""
    doc = document.read(Path(path).absolute())
    found = [doc.problem(at, message, **more) for at, message, more in kind_of(spec).column_faults(spec, Path(path).absolute().parent)]
    if found:
        raise SpecError(found)


def _packages(spec: Spec, folder: Path) -> Iterator[Problem]:
    """What the model's own packages can't be beside those of the environments that its steps run in."""
    if not os.path.lexists(folder / layers.FILE):
        return
    runtimes = sorted({runtime for step in STEPS for runtime in kind_of(spec).runtimes(step, spec)})
    try:
        found = layers.faults(folder, runtimes)
    except InputError as error:
        yield Problem(folder / layers.FILE, error.what, remedy=error.remedy)
        return
    for wrong in found:
        yield Problem(folder / layers.FILE, wrong.what, line=wrong.line, remedy=wrong.remedy)


def contradictions(spec: Spec) -> Iterator[Fault]:
    """Yield everything that contradicts itself in ``spec``; no file is looked at."""
    yield from kind_of(spec).faults(spec)
    yield from common_faults(spec)


def find(models: Path) -> list[Path]:
    """The ``model.yaml`` of every model folder in ``models``, sorted by folder; folders without one (and hidden ones) hold no model."""
    if not models.is_dir():
        raise SpecError(
            [Problem(models, "is no folder of models.", remedy="Create it, or point UPDRAFT_MODELS at the folder of your models.")]
        )
    return sorted(path for path in models.glob(f"*/{FILE}") if not path.parent.name.startswith((".", "_")))


def _validated(doc: document.Document) -> tuple[list[Problem], Spec | None]:
    found = _misnamed(doc)
    kind = doc.value.get("kind", TABLE.name)
    if not isinstance(kind, str) or kind not in KINDS:
        near = nearest(str(kind), tuple(KINDS))
        return [*found, doc.problem(("kind",), f"{shown(kind)} is not allowed.", allowed=tuple(KINDS), nearest=near)], None
    try:
        return found, KINDS[kind].spec.model_validate_json(_json(doc.value), strict=True)
    except ValidationError as error:
        return found + problems(error, doc, KINDS[kind].spec), None


def _json(value: Any) -> str:
    # Through JSON, because pydantic's strict mode then takes arrays for tuples and texts for enums, but still no "5" for 5.
    return json.dumps(value)


def _misnamed(doc: document.Document) -> list[Problem]:
    name, folder = doc.value.get("name"), doc.path.parent.name
    if not isinstance(name, str) or name == folder:
        return []
    message = f"is {name!r}, but the folder is {folder!r}."
    return [
        doc.problem(("name",), message, remedy="Give both one name: a model is named after its folder, so no two models can share a name.")
    ]
