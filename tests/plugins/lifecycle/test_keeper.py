"""The keeper of revisions that share a server and its lease, against the pool's real API. Their server itself is not started here."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_pool.client import PoolClient
from include.platform import supervisord
from include.pool.ask import Ask
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from include.serving.lease import RevisionLease
from include.serving.revision import Revision, RevisionState
from include.serving.revisions import SHARED, Revisions
from lifecycle.keeper import Keeper
from lifecycle.leases import as_surplus
from tests.plugins.gpu_pool.api.conftest import Fleet, fleet, served
from tests.plugins.gpu_pool.clients import client_of
from tests.ports import free_port

__all__ = ["fleet", "served"]
SERVER = "revision-base-b0"


@pytest.fixture
def home() -> Iterator[Path]:
    """With a path that is short enough for supervisord's socket."""
    with tempfile.TemporaryDirectory(prefix="ud-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def backend(home: Path) -> Iterator[Revisions]:
    settings = replace(Settings.load(), home=home, port_base=free_port())
    supervisord.start(settings)
    yield Revisions(settings)
    Supervisor(settings).shutdown()


@pytest.fixture
def revisions(backend: Revisions, fleet: Fleet, home: Path) -> list[Revision]:
    """Two on one server, which holds a lease."""
    found = []
    for number in ("1", "2"):
        revision = Revision("chat", number, "127.0.0.1", 1, 0, 0, "d", backend="vllm", shared=SERVER)
        (home / "revisions" / "chat" / number).mkdir(parents=True)
        revision.save(home / "revisions" / "chat" / number)
        found.append(revision)
    ask = Ask.from_json({"gpus": 1, "labels": {"of": fleet.name}})
    wanted = client_of(fleet).submit(f"base/{fleet.name}", ask)
    assert wanted.lease is not None
    (home / "revisions" / SHARED / SERVER).mkdir(parents=True)
    lease = RevisionLease(f"base/{fleet.name}", ask.to_json(), wanted.lease.id, wanted.lease.token, wanted.id, {})
    lease.save(home / "revisions" / SHARED / SERVER)
    return found


def keeper(backend: Revisions, pool: PoolClient) -> tuple[Keeper, list[tuple[str, RevisionState]]]:
    told: list[tuple[str, RevisionState]] = []
    return Keeper(backend, pool, lambda revision, state, _: told.append((revision.version, state)), lambda _: None), told


def test_a_shared_lease_is_given_back_with_the_last_revision_on_it(backend: Revisions, fleet: Fleet, revisions: list[Revision]) -> None:
    pool = client_of(fleet)
    watch, _ = keeper(backend, pool)
    first, second = revisions
    held = backend.lease(first)
    assert held == backend.lease(second)
    watch.round()
    backend.stop(first)
    watch.round()
    assert backend.lease(second) == held
    assert pool.renew(held.lease_id, held.token).id == held.lease_id
    backend.stop(second)
    watch.round()
    again = pool.submit(held.key, Ask.from_json(held.ask))
    assert again.lease is not None and again.lease.id != held.lease_id  # it was given back, and this is another


def test_all_that_share_a_lease_are_preempted_with_it(backend: Revisions, fleet: Fleet, revisions: list[Revision]) -> None:
    pool = client_of(fleet)
    watch, told = keeper(backend, pool)
    held = backend.lease(revisions[0])
    pool.release(held.lease_id, held.token)  # as when it was lost
    pool.submit("other", Ask.from_json(held.ask))  # the only GPU is another's now
    watch.round()
    assert sorted(told) == [("1", RevisionState.PREEMPTED), ("2", RevisionState.PREEMPTED)]
    assert [backend.state(revision) for revision in revisions] == [RevisionState.PREEMPTED] * 2
    assert not any(backend.lease(revision).held for revision in revisions)


def test_a_server_above_min_makes_room_for_a_models_only_one_and_finishes_first(backend: Revisions, fleet: Fleet, home: Path) -> None:
    pool, ask = client_of(fleet), Ask.from_json({"gpus": 1, "labels": {"of": fleet.name}, "preemptible": False})
    surplus = as_surplus(ask)
    held = pool.submit(f"revision/{fleet.name}/1/2", surplus)
    assert held.lease is not None
    first = Revision("chat", "1", "127.0.0.1", 1, 0, 0, "d", backend="llamacpp")
    second = replace(first, number=2)
    for server, folder in ((first, home / "revisions" / "chat" / "1"), (second, home / "revisions" / "chat" / "1" / "replicas" / "2")):
        folder.mkdir(parents=True)
        server.save(folder)
    lease = RevisionLease(f"revision/{fleet.name}/1/2", surplus.to_json(), held.lease.id, held.lease.token, held.id, {})
    lease.save(home / "revisions" / "chat" / "1" / "replicas" / "2")
    told: list[str] = []
    let_go: list[int] = []
    watch = Keeper(
        backend, pool, lambda one, state, why: told.append(one.name), lambda text: None, lambda one, at_most_s: let_go.append(one.number)
    )
    watch.round()
    assert let_go == [] and backend.lease(second) == lease
    assert pool.submit(f"revision/{fleet.name}/9", ask).lease is None  # another model's only server, of the same priority
    watch.round()
    kept = backend.lease(second)
    assert let_go == [2] and kept is not None and not kept.held and told == []
    assert pool.submit(f"revision/{fleet.name}/9", ask).lease is not None
