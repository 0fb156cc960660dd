"""Schemathesis: what it makes up from the API's own description is answered as the description says, and never by a crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.plugins.gpu_pool.api.conftest import Served, empty, serving

EXAMPLES = 15
"""Of each of the API's operations, well formed and not."""
UNFAIR = [positive_data_acceptance, negative_data_rejection]
"""A body may be well formed and still be no sensible request (a guarantee over the limit); an unknown query parameter is passed over, as
everywhere in Airflow's API."""


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
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) > 20
    session = requests.Session()
    seen: Counter[int] = Counter()
    for operation in operations:
        token = agent if "/reports/" in operation.path else abused.tokens["anna"]
        for mode in GenerationMode:
            cases = operation.as_strategy(generation_mode=mode)
            _try(cases, f"{abused.url}/gpu-pool", {"Authorization": f"Bearer {token}"}, session, seen)
    assert {200, 404, 422} <= set(seen)


def _try(cases: Any, url: str, headers: dict[str, str], session: requests.Session, seen: Counter[int]) -> None:
    @given(case=cases)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    def one(case: Any) -> None:
        answer = case.call_and_validate(base_url=url, headers=headers, session=session, excluded_checks=UNFAIR)
        seen[answer.status_code] += 1

    one()
