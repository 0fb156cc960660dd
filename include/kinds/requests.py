"""A step's request as a run makes it: with the run's spec, and all files that the step reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.kinds.frozen import freeze
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.kinds.run_params import apply
from include.steps.context import StepRequest

if TYPE_CHECKING:
    from include.spec.schema import Spec


def request(
    spec: Spec, folder: Path, step: str, run_key: str, params: Mapping[str, Any], inputs: Mapping[str, str], **more: Any
) -> StepRequest:
    """Return the request of the spec's step (``train``, without its kind); ``more``: further fields of :class:`StepRequest`."""
    kind = kind_of(spec)
    sources = [str(path) for path in kind.sources(step, spec, folder, params)]
    return StepRequest(f"{kind.name}.{step}", run_key, str(folder), freeze(spec), dict(params), dict(inputs), sources, **more)


def request_of(path: Path | str, step: str, run_key: str = "run", params: Mapping[str, Any] | None = None, **inputs: str) -> StepRequest:
    """Return the request of a step without a run: of the spec in ``path`` as it is now, with ``params`` put in."""
    given = dict(params or {})
    return request(apply(load(Path(path)), given), Path(path).parent, step, run_key, given, inputs)
