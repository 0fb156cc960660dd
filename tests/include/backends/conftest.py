from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.include.serving.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    yield Stage.acquire()
    Stage.release()


@pytest.fixture(scope="session")
def chat_bundle(stage: Stage) -> Path:
    """A bundle of a random language model."""
    return stage.chat_bundle()
