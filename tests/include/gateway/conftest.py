from collections.abc import Iterator

import pytest

from tests.include.serving.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    yield Stage.acquire()
    Stage.release()


@pytest.fixture(scope="session")
def pair(stage):
    """Two running revisions of the model `duo`, known to the gateway."""
    revisions = [stage.serve("duo", version) for version in ("1", "2")]
    for revision in revisions:
        stage.gateway.add_revision(revision.endpoint())
    return revisions


@pytest.fixture
def duo(stage, pair):
    """The model `duo` with everything on revision 1."""
    for revision in pair:
        stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("duo", {"1": 100})
    return "duo"
