"""Kill -9 of each process of a revision: it heals, and nothing is left over."""

import os
import signal
from pathlib import Path

import httpx
import pytest

from include.backends.triton.guard import children, folders
from tests.include.serving.stage import processes, settled
from tests.waiting import until

pytestmark = pytest.mark.integration

HEALED_S = 60


@pytest.fixture
def revision(stage):
    revision = stage.serve("mortal", "1")
    settled(stage, revision)  # a server that dies while it still loads is another case, with a back-off
    yield revision
    stage.backend.stop(revision)
    assert not processes(f"{stage.settings.revisions}/mortal/")


def answers(stage, revision):
    try:
        return (
            httpx.post(
                f"{revision.url}/v2/models/mortal/infer", json=stage.golden_request(), headers=stage.key(revision), timeout=2
            ).status_code
            == 200
        )
    except httpx.HTTPError:
        return False


def family(stage, revision):
    """Process ids of guard, server and stub."""
    guard = stage.supervisor.info(revision.program)[1]
    (server,) = children(guard)
    (stub,) = children(server)
    return guard, server, stub


def shared_memory(revision):
    return list(Path("/dev/shm").glob("updraft_*"))


@pytest.mark.parametrize("victim", ["guard", "server", "stub"])
def test_a_killed_process_is_replaced_and_its_relatives_end(stage, revision, victim):
    before = family(stage, revision)
    os.kill(before[("guard", "server", "stub").index(victim)], signal.SIGKILL)
    until(lambda: not Path(f"/proc/{before[2]}/cmdline").exists() or not Path(f"/proc/{before[2]}/cmdline").read_bytes(), HEALED_S)
    until(lambda: answers(stage, revision), HEALED_S)
    until(lambda: len(processes(f"{stage.settings.revisions}/mortal/")) == 3, HEALED_S)
    after = family(stage, revision)
    assert not {before[1], before[2]} & set(after)


def test_shared_memory_of_a_killed_server_is_removed(stage, revision):
    before = {path.name for path in shared_memory(revision)}
    os.kill(family(stage, revision)[1], signal.SIGKILL)
    until(lambda: answers(stage, revision), HEALED_S)
    assert len(shared_memory(revision)) <= len(before)


def test_the_folder_of_a_killed_server_is_removed(stage):
    before = folders()
    revision = stage.serve("littering", "1")
    os.kill(settled(stage, revision), signal.SIGKILL)
    try:
        until(lambda: stage.backend.ready(revision), HEALED_S)
        until(lambda: len(folders() - before) <= 1, HEALED_S)  # that of the server which has taken its place, where /tmp is everybody's
    finally:
        stage.backend.stop(revision)


def test_a_revision_comes_back_with_supervisord(stage, revision):
    stage.supervisor.restart(revision.program)
    until(lambda: answers(stage, revision), HEALED_S)
