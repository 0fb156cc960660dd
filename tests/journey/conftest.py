from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.journey.site import Site

FIRST = ("test_production", "test_refused", "test_ports", "test_people", "test_gpus", "test_llm", "test_secrets")
"""Whose journeys are run whatever the time; those of other files, and those marked so, are long ones."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long journeys, and begin with another of their files each day: where time is short each has its turn."""
    own = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in own:
        if item.path.stem not in FIRST:
            item.add_marker(pytest.mark.soak)
    names = sorted({item.path.stem for item in own})
    turn = {name: (place - date.today().toordinal()) % len(names) for place, name in enumerate(names)}
    places = iter(sorted(own, key=lambda item: turn[item.path.stem] if item.get_closest_marker("soak") else names.index(item.path.stem)))
    ours = set(map(id, own))
    items[:] = [next(places) if id(item) in ours else item for item in items]


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The platform, up; started once for all journeys."""
    site = Site()
    try:
        site.up()
        yield site
    finally:
        site.close()


@pytest.fixture
def champion(site: Site) -> int:
    """The version that serves; there is one."""
    return site.ensure_champion()
