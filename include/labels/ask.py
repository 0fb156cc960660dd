"""Asks versions of a model that run what they say of rows, through the gateway, some rows at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.errors import ComponentError, InputError
from include.runtime import web

ROWS = 16
"""Rows of a request, at most: callers wait behind one such request."""
TIMEOUT_S, TRY_S = 60.0, 30.0
Answer = tuple[Any, tuple[float, ...]]


def answers(url: str, headers: Mapping[str, str], model: str, rows: Sequence[Mapping[str, Any]], at_once: int) -> list[Answer]:
    """Return each row's answer with the probabilities of the classes, where the model gives any. ``headers`` name the version.

    Raises InputError where it refuses the rows, ComponentError where it gives no answer.
    """
    return [one for part in _parts(rows, min(ROWS, at_once)) for one in _asked(f"{url}/v1/models/{model}:predict", headers, part)]


def _parts(rows: Sequence[Mapping[str, Any]], most: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    for begin in range(0, len(rows), most):
        yield rows[begin : begin + most]


def _asked(address: str, headers: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
    content, problem = web.insist(address, headers, {"instances": list(rows)}, TIMEOUT_S, time.monotonic() + TRY_S)
    if problem.startswith("4"):
        remedy = "Rows to label need the model's columns."
        raise InputError(f"refuses rows to label ({problem}).", where=f"gateway, {address}", remedy=remedy)
    if problem:
        raise ComponentError(f"answers no rows ({problem}).", where=f"gateway, {address}")
    try:
        found = [_answer(one) for one in json.loads(content)["predictions"]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ComponentError(f"answers with no predictions ({error!r}).", where=f"gateway, {address}") from None
    if len(found) != len(rows):
        raise ComponentError(f"answers {len(found)} of {len(rows)} rows.", where=f"gateway, {address}")
    return found


def _answer(one: Any) -> Answer:
    if not isinstance(one, Mapping):
        return one, ()
    said = one.get("probabilities") or ()
    shares = said.values() if isinstance(said, Mapping) else said
    return one.get("label", one.get("prediction")), tuple(float(share) for share in shares)
