from collections.abc import Iterator

import pytest

from tests.journey.site import Site


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
