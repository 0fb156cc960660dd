"""Which specs a DAG file makes DAGs of, and the params of their runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import Param, get_parsing_context

from include.kinds.load import find, load
from include.runtime.settings import Settings
from include.spec.problem import SpecError
from include.spec.schema import Spec

log = logging.getLogger(__name__)


def specs(suffix: str) -> Iterator[tuple[Path, Spec]]:
    """Path and spec of every model, or of the one model whose ``<model><suffix>`` DAG a task is being run for.

    Broken specs are passed over: BrokenSpecsBundle shows them.
    """
    wanted = get_parsing_context().dag_id
    for path in find(Settings.load().models):
        if wanted is not None and wanted != f"{path.parent.name}{suffix}":
            continue
        try:
            yield path, load(path)
        except SpecError as error:
            log.warning("No DAG for %s: %s", path, error)


def params(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Param]:
    """The trigger form: every param with its type, its explanation and its default."""
    found = {}
    for name, schema in schemas.items():
        rest = {key: value for key, value in schema.items() if key not in ("default", "description")}
        found[name] = Param(schema["default"], description=schema["description"] or None, **rest)
    return found
