from collections.abc import Iterator

import pytest

from tests.include.serving.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    yield Stage.acquire()
    Stage.release()
