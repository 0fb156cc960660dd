"""A spec as plain JSON and back, the same however often: what a run keeps of model.yaml, and hands to its steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from include.errors import InputError
from include.kinds.registry import KINDS
from include.spec.schema import Spec


def freeze(spec: Spec) -> dict[str, Any]:
    """Return a spec with all its defaults as a dict of JSON types."""
    return spec.model_dump(mode="json")


def thaw(kept: Mapping[str, Any]) -> Spec:
    """Return the spec that :func:`freeze` has made this of.

    Raises InputError for one of a kind or a form that this version of Updraft does not know (an upgrade during the run).
    """
    remedy = "Start a new run: this one began under another version of Updraft."
    if kept.get("kind") not in KINDS:
        raise InputError(f"its kind {kept.get('kind')!r} is unknown.", where="the run's kept spec", remedy=remedy)
    try:
        return KINDS[str(kept["kind"])].spec.model_validate_json(json.dumps(dict(kept)), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = f"the run's kept spec: {'.'.join(map(str, first['loc']))}"
        raise InputError(f"{first['msg']}.", where=where, remedy=remedy) from None
