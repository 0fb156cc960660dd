"""The wait for a lease, against the plugin's real API."""

import asyncio
import time
from typing import Any

import pytest
from airflow.sdk.module_loading import import_string

from gpu_pool.client import PoolClient
from gpu_pool.triggers import acquire
from gpu_pool.triggers.acquire import AcquireTrigger
from include.pool.ask import Ask
from tests.plugins.gpu_pool.api.conftest import Fleet
from tests.plugins.gpu_pool.clients import away, client_of

SOON_S = 1.0
TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}


@pytest.fixture
def pool(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> PoolClient:
    client = client_of(fleet)
    monkeypatch.setattr(PoolClient, "connect", lambda: client)
    monkeypatch.setattr(acquire, "POLL_S", 0.05)
    return client


def ask(fleet: Fleet) -> Ask:
    return Ask.from_json({"gpus": 1, "labels": {"of": fleet.name}})


def trigger(request_id: str) -> AcquireTrigger:
    """As the triggerer makes it: out of what was stored."""
    path, kwargs = AcquireTrigger(request_id=request_id, **TASK).serialize()
    made: AcquireTrigger = import_string(path)(**kwargs)
    return made


async def event(waiting: AcquireTrigger) -> dict[str, Any]:
    async for found in waiting.run():
        return dict(found.payload)
    raise AssertionError("no event")


def test_it_fires_when_the_request_is_granted(
    fleet: Fleet, pool: PoolClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    first = pool.submit(f"{fleet.name}/first", ask(fleet))
    wanted = pool.submit(f"{fleet.name}/second", ask(fleet))
    assert first.lease and wanted.lease is None

    touched, touch = [], pool.touch
    monkeypatch.setattr(pool, "touch", lambda request: touched.append(request) or touch(request))

    async def wait() -> dict[str, Any]:
        waiting = asyncio.create_task(event(trigger(wanted.id)))
        async with asyncio.timeout(60):
            while len(touched) < 3:
                await asyncio.sleep(0.01)
        assert not waiting.done()
        await asyncio.to_thread(pool.release, first.lease.id, first.lease.token)
        return await asyncio.wait_for(waiting, 20)

    assert asyncio.run(wait()) == {"state": "GRANTED"}
    assert capsys.readouterr().out.count("Waits for a GPU") == 1


def test_it_fires_when_the_request_has_ended(fleet: Fleet, pool: PoolClient):
    wanted = pool.submit(f"{fleet.name}/mine", ask(fleet))
    pool.cancel(wanted.id)
    assert asyncio.run(event(trigger(wanted.id))) == {"state": "ENDED"}


def test_a_server_that_is_away_for_a_while_ends_no_wait(
    fleet: Fleet, pool: PoolClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    wanted = pool.submit(f"{fleet.name}/mine", ask(fleet))
    answers = iter([away().touch, away().touch])
    monkeypatch.setattr(pool, "touch", lambda request: next(answers, client_of(fleet).touch)(request))
    assert asyncio.run(event(trigger(wanted.id))) == {"state": "GRANTED"}
    assert capsys.readouterr().out.count("still waiting") == 1


def test_killed_by_hand_the_request_ends(fleet: Fleet, pool: PoolClient):
    wanted = pool.submit(f"{fleet.name}/mine", ask(fleet))
    asyncio.run(trigger(wanted.id).on_kill())
    assert pool.touch(wanted.id) is None


@pytest.mark.parametrize("state", ["running", "deferred"])
def test_cleared_and_back_already_the_request_stays(fleet: Fleet, pool: PoolClient, monkeypatch: pytest.MonkeyPatch, state: str):
    """A new try waits for, or holds, the same request."""
    wanted = pool.submit(f"{fleet.name}/mine", ask(fleet))
    monkeypatch.setattr(pool._api, "get", lambda path, **_: {"state": state})
    asyncio.run(trigger(wanted.id).on_kill())
    assert pool.touch(wanted.id) is not None


def test_no_event_comes_so_soon_that_airflow_takes_the_task_for_a_killed_one(
    fleet: Fleet, pool: PoolClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(acquire, "SETTLE_S", SOON_S)
    wanted = pool.submit(f"{fleet.name}/mine", ask(fleet))
    deferred = time.time()
    assert asyncio.run(event(AcquireTrigger(request_id=wanted.id, deferred_at=deferred, **TASK))) == {"state": "GRANTED"}
    assert time.time() - deferred >= SOON_S
