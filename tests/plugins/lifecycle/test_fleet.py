"""Several servers of a revision, real ones behind a real gateway: scaled, killed under load, restarted in turn, given up half-way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import Engine

from include.backends import options
from include.backends.triton.spec import TritonServe
from include.errors import ComponentError
from include.reconcile.facts import Wanted
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles
from include.replicas.facts import Move
from include.replicas.number import Bounds
from include.serving.revision import Revision, RevisionState
from lifecycle.db import replicas
from lifecycle.db.replicas import At
from lifecycle.deeds import Done
from lifecycle.fleet import Fleet
from lifecycle.reconciler import Reconciler
from lifecycle.replica_deeds import ReplicaDeeds
from tests.include.serving.conftest import stage
from tests.include.serving.stage import KEY, Stage, children
from tests.plugins.lifecycle.test_reconciler import Ground, no_pool

__all__ = ["stage"]
SERVE = TritonServe(batch_delay_us=0, drain_s=5)
RATE = 40


class Stable(Ground):
    """A ground whose revisions may have several servers."""

    def __init__(self, stage: Stage, engine: Engine, me: str = "here/1") -> None:
        super().__init__(stage, engine, me)
        self.bounds = Bounds(1, 3)
        self.own = ReplicaDeeds(
            stage.settings, stage.backend, lambda model: stage.gateway, lambda: Mlflow("http://127.0.0.1:9"), no_pool, lambda model: None
        )
        self.begin(me)

    def begin(self, me: str, deeds: Callable[..., Done] | None = None) -> None:
        """A new reconciler, which knows nothing but what the tables and folders say."""
        self.fleet = Fleet(
            self.stage.backend,
            deeds or self.own,
            self.sessions,
            lambda: {"fleet": self.bounds},
            self.stage.gateway.table,
            lambda text: None,
        )
        self.one = Reconciler(me, self.stage.backend, self.deeds, self.sessions, lambda text: None, fleet=self.fleet)

    def scale(self, count: int) -> None:
        with self.sessions() as session:
            replicas.scale(session, "fleet", count, "olaf", "The test says so.", datetime.now(UTC))

    def rows(self) -> dict[int, tuple[str, bool, str]]:
        with self.sessions() as session:
            return {at[2]: (row.state, row.up, row.message) for at, row in replicas.replicas(session).items()}

    def up(self) -> int:
        return sum(up for _, up, _ in self.rows().values())

    def healthy(self, count: int) -> bool:
        """Whether so many servers answer, and the gateway has seen it."""
        members = self.stage.gateway.admin.counters("^cluster.fleet-1.membership_healthy$")
        return list(members.values()) == [count] and all(
            self.stage.backend.answers(one) for one in self.stage.backend.servers() if one.model == "fleet"
        )

    def listed(self) -> list[int]:
        return [one.number for one in self.stage.gateway.revisions("fleet")["1"].servers]


@pytest.fixture
def ground(stage: Stage, engine: Engine) -> Iterator[Stable]:
    assert stage.gateway.models() is not None
    found = Stable(stage, engine)
    yield found
    found.one.wait()
    for revision in stage.backend.list():
        stage.gateway.retire(revision.model)
        stage.backend.stop(revision)


@pytest.fixture
def revision(ground: Stable) -> Revision:
    """Version 1 of `fleet`, with all of its traffic."""
    source = ground.stage.bundles / "good"
    options.save(source, SERVE, {})
    bundles.keep(source, "fleet", 1, ground.stage.settings.home / "bundles")
    found = ground.stage.backend.start(source, "fleet", "1", SERVE, {})
    ground.stage.gateway.add_revision(found.endpoint())
    ground.stage.gateway.set_split("fleet", {"1": 100})
    return found


@contextmanager
def callers(stage: Stage) -> Iterator[Counter[int]]:
    """Requests at a steady rate while it lasts; what they were answered with, by status (0: nothing)."""
    found: Counter[int] = Counter()
    ends, body = threading.Event(), stage.golden_request()

    def ask() -> None:
        with httpx.Client(base_url=stage.settings.gateway_url, headers={"x-api-key": KEY}, timeout=20) as client:
            while not ends.wait(2 / RATE):
                try:
                    found[client.post("/v2/models/fleet/infer", json=body).status_code] += 1
                except httpx.HTTPError:
                    found[0] += 1

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_two_servers_answer_as_one_and_the_death_of_either_fails_no_request(ground: Stable, revision: Revision) -> None:
    ground.scale(2)
    ground.until(lambda: ground.up() == 2)
    (second,) = ground.stage.backend.replicas(revision)
    assert ground.listed() == [1, 2] and second.http_port != revision.http_port
    assert ground.stage.key(second) != ground.stage.key(revision)
    other = ground.stage.backend.start(ground.stage.bundles / "good", "fleet", "2", SERVE, {})
    ground.stage.gateway.add_revision(other.endpoint())
    ground.stage.gateway.set_split("fleet", {"1": 90, "2": 10})  # as on trial: each version is one arm
    for server in (second, revision):
        before = children(ground.stage, server)
        with callers(ground.stage) as answers:
            time.sleep(0.5)
            for process in before:
                os.kill(process, signal.SIGKILL)
            ground.until(lambda before=before, server=server: not set(before) & set(children(ground.stage, server)) and ground.healthy(2))
        assert set(answers) == {200}, answers
    told = Counter(ground.stage.infer("fleet").headers["x-updraft-revision"] for _ in range(100))
    assert set(told) <= {"1", "2"} and told["1"] > 70 and ground.state(revision) == "RUNNING"


def test_a_restart_goes_by_turns_and_fails_no_request(ground: Stable, revision: Revision) -> None:
    ground.scale(2)
    ground.until(lambda: ground.up() == 2)
    servers = [revision, *ground.stage.backend.replicas(revision)]
    before = {server.number: children(ground.stage, server) for server in servers}
    ground.want(revision, Wanted.RUNNING, again=True)
    fewest = 9

    def done() -> bool:
        nonlocal fewest
        fewest = min(fewest, len(ground.listed()))
        return renewed(ground, revision, before)

    with callers(ground.stage) as answers:
        ground.until(done)
    assert set(answers) == {200}, answers
    assert fewest == 2  # one more came first
    after = {server.number: children(ground.stage, server) for server in servers}
    for _ in range(5):
        ground.one.round(datetime.now(UTC), time.monotonic())
    assert {server.number: children(ground.stage, server) for server in servers} == after


def test_a_reconciler_that_dies_midway_in_a_restart_is_followed_by_one_that_ends_it(ground: Stable, revision: Revision) -> None:
    ground.scale(2)
    ground.until(lambda: ground.up() == 2)
    before = {one.number: children(ground.stage, one) for one in (revision, *ground.stage.backend.replicas(revision))}
    ground.want(revision, Wanted.RUNNING, again=True)
    died = threading.Event()

    def half(move: Move, at: At, server: Revision | None) -> Done:
        """Takes a server out of the traffic, and dies before it is restarted."""
        if move is Move.ROLL and server is not None:
            ground.own.withdraw(server)
            died.set()
            raise ComponentError("killed", where="the test")
        return ground.own(move, at, server)

    ground.begin("here/2", half)
    ground.until(died.is_set)
    ground.one.wait()
    ground.begin("here/3")
    with callers(ground.stage) as answers:
        ground.until(
            lambda: (
                all(
                    not set(before[one.number]) & set(children(ground.stage, one))
                    for one in [revision, *ground.stage.backend.replicas(revision)][:2]
                )
                and ground.up() == 2
                and set(ground.rows()) == {1, 2}
            )
        )
    assert set(answers) == {200}, answers


def renewed(ground: Stable, revision: Revision, before: dict[int, list[int]]) -> bool:
    """Whether two servers answer, both of them others than before."""
    servers = [revision, *ground.stage.backend.replicas(revision)]
    fresh = all(not set(before[one.number]) & set(children(ground.stage, one)) for one in servers if one.number in before)
    return fresh and ground.up() == 2 and ground.listed() == [1, 2] and set(ground.rows()) == {1, 2}


def test_one_that_finds_no_room_waits_and_says_so_while_the_first_serves_on(ground: Stable, revision: Revision) -> None:
    def no_room(move: Move, at: At, server: Revision | None) -> Done:
        return Done(later="It waits for a GPU: 8 GiB are free nowhere.") if move is Move.ADD else ground.own(move, at, server)

    ground.begin("here/2", no_room)
    ground.scale(2)
    ground.until(lambda: ground.rows().get(2, ("", False, ""))[0] == "PREEMPTED")
    ground.until(lambda: "1 of 2 servers answer" in ground.told()[0][3])
    assert "8 GiB are free nowhere" in ground.told()[0][3] and ground.state(revision) == "RUNNING"
    assert ground.stage.infer("fleet").status_code == 200 and ground.listed() == [1]


def test_fewer_are_wanted_and_a_stop_ends_all(ground: Stable, revision: Revision) -> None:
    ground.scale(3)
    ground.until(lambda: ground.up() == 3)
    with callers(ground.stage) as answers:
        ground.scale(1)
        ground.until(lambda: ground.listed() == [1] and not ground.stage.backend.replicas(revision))
    assert set(answers) == {200}, answers
    ground.scale(2)
    ground.until(lambda: ground.up() == 2)
    (second,) = ground.stage.backend.replicas(revision)
    ground.want(revision, Wanted.STOPPED)
    ground.until(lambda: ground.state(revision) == "STOPPED" and not ground.rows())
    assert children(ground.stage, second) == [] and ground.stage.backend.state(revision) is RevisionState.STOPPED
    ground.want(revision, Wanted.RUNNING)
    ground.until(lambda: ground.up() == 2)
    assert ground.stage.infer("fleet").status_code == 200
