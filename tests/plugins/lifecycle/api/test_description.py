"""The API's own description is whole, and the API keeps to it whatever schemathesis makes up from it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis

from tests.plugins.described import OPEN, abuse, open_objects
from tests.plugins.lifecycle.api.conftest import Api
from tests.rest import FILE, page

SPECS = [f"/components/schemas/{name}/properties/spec" for name in ("SpecBody", "SpecRow")]
"""A spec's form is its kind's, which checks it (``include.kinds.frozen``)."""
SPECS += [f"/components/schemas/CallRow/properties/{name}" for name in ("body/anyOf/0", "tensors/items")]
"""A request to a model has that model's own form."""

NEEDS_MLFLOW = ("deploy", "delete")
"""Here there is none, and 503 is the right answer."""


@pytest.fixture(scope="module", params=["lifecycle", "serving", "gpu-pool"])
def document(api: Api, request: pytest.FixtureRequest) -> Any:
    return api.get(f"/{request.param}/openapi.json").json()


def operations(document: Any) -> list[Any]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_every_operation_has_a_name_a_tag_and_its_refusals(document: Any) -> None:
    found = operations(document)
    names = Counter(operation["operationId"] for operation in found)
    assert set(names.values()) == {1}
    known = {tag["name"] for tag in document["tags"]}
    for operation in found:
        codes = set(operation["responses"])
        assert set(operation["tags"]) <= known and operation["tags"] and operation["description"]
        assert {"401", "403", "422"} <= codes and ("requestBody" not in operation or {"400", "413"} <= codes), operation["operationId"]


def test_no_object_is_open(document: Any) -> None:
    found = [place for place in open_objects(document) if place not in SPECS]
    assert found == [], OPEN


def test_the_written_reference_is_what_the_apis_say_today(api: Api) -> None:
    found = {prefix: api.get(f"{prefix}/openapi.json").json() for prefix in ("/lifecycle", "/serving", "/gpu-pool")}
    assert FILE.read_text() == page(found), "`make rest` writes it anew."


@pytest.mark.parametrize("prefix", ["lifecycle", "serving"])
def test_an_api_keeps_to_its_description(api: Api, prefix: str) -> None:
    description = schemathesis.openapi.from_dict(api.get(f"/{prefix}/openapi.json").json())
    seen = abuse(description, f"{api.url}/{prefix}", lambda operation: api.tokens["updraft"], examples=6, but=NEEDS_MLFLOW)
    assert {200, 404, 422} <= set(seen), seen
