"""The reconciler with real servers under a real supervisord: what it heals, what it obeys, and that one does it at a time."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from include.backends import options
from include.backends.llamacpp.spec import LlamaCppServe
from include.backends.triton.spec import TritonServe
from include.reconcile.facts import Step, Wanted
from include.registry.mlflow import Mlflow
from include.serving.revision import Revision, RevisionState
from lifecycle import reconciler as module
from lifecycle.db import serving
from lifecycle.deeds import Deeds, Done
from lifecycle.reconciler import Reconciler
from tests.include.serving.conftest import chat_bundle, stage
from tests.include.serving.stage import KEY, SECRET, Stage, children

__all__ = ["chat_bundle", "stage"]
HANG_S = 2.0
WAIT_S = 30.0


class Ground:
    """A reconciler that looks as often as it is asked to, its tables, and the servers of the stage."""

    def __init__(self, stage: Stage, engine: Engine, me: str = "here/1") -> None:
        self.stage, self.engine = stage, engine
        (stage.settings.home / "credentials.json").write_text(json.dumps({"api_keys": {"demo": KEY}, "probe_secret": SECRET}))
        self.deeds = Deeds(stage.settings, stage.backend, lambda: Mlflow("http://127.0.0.1:9"), no_pool, lambda model: None, self.record)
        self.one = Reconciler(me, stage.backend, self.deeds, self.sessions, lambda text: None)

    @contextmanager
    def sessions(self) -> Iterator[Session]:
        with Session(self.engine) as session:
            yield session
            session.commit()

    def record(self, model: str, version: int, state: RevisionState, message: str) -> None:
        with self.sessions() as session:
            serving.note_state(session, (model, version), state.value, message, datetime.now(UTC), {})

    def want(self, revision: Revision, wanted: Wanted, *, again: bool = False) -> None:
        with self.sessions() as session:
            serving.want(session, key(revision), wanted, "olaf", "The test says so.", datetime.now(UTC), again=again)

    def state(self, revision: Revision) -> str:
        with self.sessions() as session:
            row = serving.revisions(session).get(key(revision))
            return row.state if row else ""

    def told(self) -> list[tuple[str, int, str, str]]:
        with self.sessions() as session:
            return [(*name, row.state, row.message) for name, row in serving.revisions(session).items()]

    def acts(self) -> list[tuple[str, str]]:
        with self.sessions() as session:
            return [(row.act, row.author) for row in serving.acts(session, None, 100)]

    def until(self, condition: Callable[[], bool]) -> float:
        """Look until it holds; the seconds that took."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < WAIT_S, self.told()
            self.one.round(datetime.now(UTC), time.monotonic())
            time.sleep(0.1)
        return time.monotonic() - begun


def no_pool() -> Any:
    raise AssertionError("no GPU is asked for here")


def key(revision: Revision) -> tuple[str, int]:
    return revision.model, int(revision.version)


@pytest.fixture
def ground(stage: Stage, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setattr(module, "HANG_S", HANG_S)
    found = Ground(stage, engine)
    yield found
    found.one.wait()
    for revision in stage.backend.list():
        stage.gateway.retire(revision.model)
        stage.backend.stop(revision)


def test_a_llamacpp_server_that_lives_and_does_not_answer_is_started_anew(ground: Ground, chat_bundle: Path) -> None:
    revision = ground.stage.backend.start(chat_bundle, "chat", "1", LlamaCppServe(context=64, parallel=1), {})
    ground.until(lambda: ground.state(revision) == "RUNNING")
    before = children(ground.stage, revision)
    for process in before:
        os.kill(process, signal.SIGSTOP)
    took = ground.until(lambda: not set(before) & set(children(ground.stage, revision)) and ground.state(revision) == "RUNNING")
    assert took >= HANG_S
    assert ground.stage.backend.ready(revision) and ground.acts()[:1] == [("restart", serving.LIFECYCLE)]


def test_what_a_person_stops_stays_stopped_with_its_place_and_starts_again(ground: Ground) -> None:
    revision = ground.stage.serve("plain", "1")
    ground.stage.gateway.add_revision(revision.endpoint())
    ground.stage.gateway.set_split("plain", {"1": 100})
    ground.until(lambda: ground.state(revision) == "RUNNING")
    ground.want(revision, Wanted.STOPPED)
    ground.until(lambda: ground.state(revision) == "STOPPED")
    assert ground.stage.backend.state(revision) is RevisionState.STOPPED and ground.stage.backend.find("plain", "1") == revision
    assert children(ground.stage, revision) == [] and ground.stage.infer("plain").status_code == 503
    ground.want(revision, Wanted.RUNNING)
    ground.until(lambda: ground.state(revision) == "RUNNING")
    assert ground.stage.infer("plain").status_code == 200


def test_the_traffic_of_a_stopped_version_goes_to_the_others_without_a_failed_request(ground: Ground) -> None:
    revisions = [ground.stage.serve("pair", version) for version in ("1", "2")]
    for revision in revisions:
        ground.stage.gateway.add_revision(revision.endpoint())
    ground.stage.gateway.set_split("pair", {"1": 60, "2": 40})
    ground.until(lambda: all(ground.state(revision) == "RUNNING" for revision in revisions))
    ground.want(revisions[0], Wanted.STOPPED)
    statuses: set[int] = set()

    def stopped() -> bool:
        statuses.update(ground.stage.infer("pair").status_code for _ in range(5))
        return ground.state(revisions[0]) == "STOPPED"

    ground.until(stopped)
    split = ground.stage.gateway.split("pair")
    assert split is not None and dict(split.weights) == {"2": 100} and statuses == {200}


def test_a_restart_by_hand_is_one_new_process(ground: Ground) -> None:
    revision = ground.stage.serve("plain", "1")
    ground.until(lambda: ground.state(revision) == "RUNNING")
    before = children(ground.stage, revision)
    ground.want(revision, Wanted.RUNNING, again=True)
    ground.until(lambda: not set(before) & set(children(ground.stage, revision)) and ground.state(revision) == "RUNNING")
    after = children(ground.stage, revision)
    for _ in range(5):
        ground.one.round(datetime.now(UTC), time.monotonic())
    assert children(ground.stage, revision) == after


def test_a_version_that_shall_run_and_is_not_there_is_deployed_from_its_bundle(ground: Ground) -> None:
    from include.release import bundle as bundles

    source = ground.stage.bundles / "good"
    options.save(source, TritonServe(batch_delay_us=0), {})
    bundles.keep(source, "lost", 3, ground.stage.settings.home / "bundles")
    assert ground.stage.gateway.models() is not None  # Envoy runs: golden inputs go through it
    revision = Revision("lost", "3", "127.0.0.1", 0, 0, 0, "")
    ground.want(revision, Wanted.RUNNING)
    ground.until(lambda: ground.state(revision) == "RUNNING" and ground.stage.backend.find("lost", "3") is not None)
    assert ground.stage.gateway.revisions("lost").keys() == {"3"} and ground.stage.gateway.split("lost") is None
    ground.want(revision, Wanted.STOPPED)
    ground.until(lambda: ground.state(revision) == "STOPPED")


def test_what_cannot_be_deployed_says_why_and_is_tried_again_later(ground: Ground) -> None:
    revision = Revision("nowhere", "1", "127.0.0.1", 0, 0, 0, "")
    ground.want(revision, Wanted.RUNNING)
    ground.until(lambda: ground.state(revision) == "ERROR")
    ground.until(lambda: "MLflow" in said(ground, revision) and "the next is in" in said(ground, revision))


def said(ground: Ground, revision: Revision) -> str:
    with ground.sessions() as session:
        return serving.revisions(session)[key(revision)].message


def test_of_two_reconcilers_one_acts_and_the_other_follows_when_it_dies(stage: Stage, engine: Engine) -> None:
    done: list[tuple[str, Step]] = []

    def deeds(name: str) -> Callable[..., Done]:
        return lambda step, key, still: done.append((name, step)) or Done()

    ground = Ground(stage, engine)
    first, second = (Reconciler(f"{name}/1", stage.backend, deeds(name), ground.sessions, lambda text: None) for name in ("a", "b"))
    ground.want(Revision("ghost", "1", "127.0.0.1", 0, 0, 0, ""), Wanted.RUNNING)
    now, clock_s = datetime.now(UTC), 100.0
    for _ in range(3):
        for one in (first, second):
            one.round(now, clock_s)
            one.wait()
        clock_s += 1
    assert {name for name, _ in done} == {"a"} and first.owns(clock_s) and not second.owns(clock_s)
    for _ in range(20):  # the first is dead
        second.round(now, clock_s)
        clock_s += 1
    assert second.owns(clock_s) and not first.owns(clock_s)
    first.round(now, clock_s)
    assert not first.owns(clock_s)


def test_a_server_that_is_well_is_asked_seldom_and_one_that_ends_or_is_touched_at_the_next_look(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = ground.stage.serve("plain", "1")
    ground.until(lambda: ground.state(revision) == "RUNNING")
    asked: list[float] = []
    observe = ground.stage.backend.observe
    monkeypatch.setattr(ground.stage.backend, "observe", lambda one: asked.append(now[0]) or observe(one))
    now = [time.monotonic() + 100.0]

    def looked() -> int:
        asked.clear()
        now[0] += 1.0
        ground.one.round(datetime.now(UTC), now[0])
        return len(asked)

    ground.one._renewed_s = now[0]
    looked()
    assert sum(looked() for _ in range(4)) == 0 and looked() == 1  # every five seconds
    (ground.stage.settings.revisions / "plain" / "1" / "note").touch()
    assert looked() == 1
    (ground.stage.settings.revisions / "plain" / "1" / "note").unlink()
    looked()
    assert looked() == 0
    for process in children(ground.stage, revision):
        os.kill(process, signal.SIGKILL)
    begun = time.monotonic()
    while looked() == 0:
        assert time.monotonic() - begun < 5
    assert ground.until(lambda: ground.state(revision) == "RUNNING" and ground.stage.backend.ready(revision)) < WAIT_S
