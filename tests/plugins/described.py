"""What an OpenAPI document promises, tried: by schemathesis, and by looking for objects that may hold anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

UNFAIR = [positive_data_acceptance, negative_data_rejection]
"""A body may be well formed and still be no sensible request (a guarantee over the limit); an unknown query parameter is passed over, as
everywhere in Airflow's API."""
OPEN = "An object without properties or a type of its values may hold anything: give it a model."


def abuse(description: Any, url: str, token: Callable[[Any], str], *, examples: int, but: Collection[str] = ()) -> Counter[int]:
    """Call every operation, ``but`` for some by their ids, with ``examples`` made up requests, well formed and not; the statuses that came.

    Fails where an answer is not as it is described, or a crash.
    """
    session, seen = requests.Session(), Counter[int]()
    for found in description.get_all_operations():
        operation = found.ok()
        if operation.definition.raw.get("operationId") in but:
            continue
        headers = {"Authorization": f"Bearer {token(operation)}"}
        for mode in GenerationMode:
            _try(operation.as_strategy(generation_mode=mode), url, headers, session, seen, examples)
    return seen


def _try(cases: Any, url: str, headers: dict[str, str], session: requests.Session, seen: Counter[int], examples: int) -> None:
    @given(case=cases)
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    def each(case: Any) -> None:
        answer = case.call_and_validate(base_url=url, headers=headers, session=session, excluded_checks=UNFAIR)
        seen[answer.status_code] += 1

    each()


def open_objects(document: Any, where: str = "") -> list[str]:
    """Where in the document's schemas an object may hold anything."""
    if isinstance(document, list):
        return [place for number, part in enumerate(document) for place in open_objects(part, f"{where}/{number}")]
    if not isinstance(document, dict):
        return []
    loose = document.get("additionalProperties") is True or document.get("additionalProperties") == {}
    named = {"properties", "patternProperties", "additionalProperties"}
    bare = document.get("type") == "object" and not named & set(document)
    found = [where] if loose or bare else []
    return found + [place for name, part in document.items() for place in open_objects(part, f"{where}/{name}")]
