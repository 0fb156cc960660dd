"""Schemathesis: what it makes up from the API's own description is answered as the description says, and never by a crash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from tests.plugins.described import abuse
from tests.plugins.gpu_pool.api.conftest import Served, empty, serving

EXAMPLES = 6
"""Of each of the API's operations, well formed and not."""


@pytest.fixture(scope="module")
def abused(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that only schemathesis talks to, on the stricter database."""
    home = tmp_path_factory.mktemp("abused")
    with serving(home, empty(request, "postgresql", home)) as (found, _):
        yield found


@pytest.fixture(scope="module")
def agent(abused: Served) -> str:
    return abused.agent("schemathesis", cluster=True)


@pytest.fixture(scope="module")
def description(abused: Served) -> Any:
    return schemathesis.openapi.from_dict(abused.get("/openapi.json").json())


def test_the_api_keeps_to_its_description(description: Any, abused: Served, agent: str) -> None:
    assert len(list(description.get_all_operations())) > 20
    seen = abuse(
        description,
        f"{abused.url}/gpu-pool",
        lambda operation: agent if "/reports/" in operation.path else abused.tokens["anna"],
        examples=EXAMPLES,
    )
    assert {200, 404, 422} <= set(seen)
