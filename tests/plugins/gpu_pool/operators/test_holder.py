"""A lease in its holder's hands, against the plugin's real API."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest
from airflow.sdk.exceptions import AirflowFailException

from gpu_pool.client import Held, LeaseLost
from gpu_pool.holder import AWAY_S, EVERY_S, LOST_GRACE_S, Holder, use_lease
from include.errors import InputError
from include.pool.ask import Ask
from include.pool.state import RequestState
from tests.plugins.gpu_pool.api.conftest import Fleet
from tests.plugins.gpu_pool.api.served import SETTINGS
from tests.plugins.gpu_pool.clients import away, client_of
from tests.waiting import until


def ask(fleet: Fleet, **fields: object) -> Ask:
    return Ask.from_json({"gpus": 1, "labels": {"of": fleet.name}, **fields})


def held(fleet: Fleet, key: str = "mine", **fields: object) -> Held:
    wanted = client_of(fleet).submit(f"{fleet.name}/{key}", ask(fleet, **fields))
    assert wanted.lease is not None, wanted.reasons
    return wanted.lease


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def after_a_while(holder: Holder, clock: Clock, seconds: float = EVERY_S + 0.1):
    clock.now += seconds
    return holder.beat()


def test_asked_again_it_is_the_same_lease_with_a_new_token(fleet: Fleet):
    first, second = held(fleet), held(fleet)
    assert second.id == first.id and second.token > first.token
    client_of(fleet).renew(second.id, second.token)
    with pytest.raises(LeaseLost) as lost:
        client_of(fleet).renew(first.id, first.token)
    assert lost.value.fenced


def test_what_can_never_be_placed_is_refused_in_the_pools_words(fleet: Fleet):
    with pytest.raises(InputError, match="nearest possible") as refused:
        client_of(fleet).submit("k", ask(fleet, gpus=9))
    assert "http" not in str(refused.value)


def test_a_waiting_request_says_why_and_may_be_taken_back(fleet: Fleet):
    held(fleet)
    pool = client_of(fleet)
    wanted = pool.submit(f"{fleet.name}/other", ask(fleet))
    assert wanted.state is RequestState.WAITING and wanted.lease is None and wanted.reasons
    assert wanted.why().startswith("number ")
    pool.cancel(wanted.id)
    pool.cancel(wanted.id)
    assert pool.touch(wanted.id) is None


def test_the_environment_names_devices_and_lease(fleet: Fleet):
    lease = held(fleet)
    assert lease.environment()["CUDA_VISIBLE_DEVICES"] == f"{fleet.name}-0"
    assert lease.to_xcom()["environment"]["UPDRAFT_GPU_LEASE"] == lease.id == lease.to_xcom()["lease_id"]


def test_a_heartbeat_goes_out_when_it_is_due_and_hears_a_notice(fleet: Fleet):
    clock = Clock()
    holder = Holder(client_of(fleet), held(fleet), clock)
    assert after_a_while(holder, clock) is None
    client_of(fleet).submit(f"{fleet.name}/urgent", ask(fleet, priority=10))
    assert holder.beat() is None  # not due yet
    stop = after_a_while(holder, clock)
    assert stop is not None and not stop.ended and "preempted" in stop.reason
    # It was given at some time after the last heartbeat that said nothing of it.
    assert stop.deadline == pytest.approx(EVERY_S + 0.1 + float(SETTINGS["notice_s"]), abs=0.01)


def test_the_next_heartbeat_tells_of_a_checkpoint_even_when_a_server_was_away(fleet: Fleet):
    clock = Clock()
    lease = held(fleet)
    holder = Holder(away(), lease, clock)
    holder.saved()
    after_a_while(holder, clock, 20.0)
    holder.pool = client_of(fleet)
    before = time.time()
    after_a_while(holder, clock)
    row = fleet.served.get(f"leases/{lease.id}").json()
    granted, saved = (datetime.fromisoformat(row[name]).timestamp() for name in ("granted_at", "saved_at"))
    assert saved == pytest.approx(max(granted, before - 20.0 - EVERY_S - 0.1), abs=1.0)
    holder.saved()
    after_a_while(holder, clock, 0.0)  # not due yet
    after_a_while(holder, clock)
    assert datetime.fromisoformat(fleet.served.get(f"leases/{lease.id}").json()["saved_at"]).timestamp() >= saved


def test_a_lease_that_an_admin_ends_is_lost(fleet: Fleet):
    clock = Clock()
    holder = Holder(client_of(fleet), held(fleet), clock)
    fleet.served.post(f"leases/{holder.lease.id}/force-release", {"reason": "r"}, "anna")
    stop = after_a_while(holder, clock)
    assert stop is not None and stop.ended and not stop.fenced
    assert holder.seconds_left == LOST_GRACE_S


def test_a_device_that_fails_ends_its_lease(fleet: Fleet):
    clock = Clock()
    holder = Holder(client_of(fleet), held(fleet), clock)
    assert fleet.report(failed="Xid 79").status_code == 200
    stop = after_a_while(holder, clock)
    assert stop is not None and stop.ended


def test_a_later_try_fences_the_earlier_off(fleet: Fleet):
    clock = Clock()
    holder = Holder(client_of(fleet), held(fleet), clock)
    held(fleet)
    stop = after_a_while(holder, clock)
    assert stop is not None and stop.fenced


def test_whether_it_is_fenced_off_can_be_asked_at_any_time(fleet: Fleet):
    holder = Holder(client_of(fleet), held(fleet), Clock())
    assert not holder.fenced()
    held(fleet)
    assert holder.fenced()


def test_a_request_is_found_by_its_key(fleet: Fleet):
    lease, pool = held(fleet), client_of(fleet)
    found = pool.find(f"{fleet.name}/mine")
    assert found is not None and found.lease is not None and found.lease.id == lease.id
    assert pool.find(f"{fleet.name}/nobody") is None


def test_a_server_that_is_away_for_an_hour_ends_nothing_and_the_work_may_go_on(fleet: Fleet):
    clock = Clock()
    holder = Holder(away(), held(fleet), clock)
    for _ in range(11):
        assert after_a_while(holder, clock, AWAY_S / 11 - 1) is None
        assert holder.good_until == clock.now + holder.lease.ttl_s
    stop = after_a_while(holder, clock, 60)
    assert stop is not None and stop.ended and "renew" in stop.reason
    assert "by itself" in holder.release()


def test_given_back_for_others_it_waits_for_its_next_turn(fleet: Fleet):
    clock, pool = Clock(), client_of(fleet)
    holder = Holder(pool, held(fleet), clock)
    urgent = pool.submit(f"{fleet.name}/urgent", ask(fleet, priority=10))
    after_a_while(holder, clock)
    assert holder.release(requeue=True) == ""
    again = pool.submit(f"{fleet.name}/mine", ask(fleet))
    assert again.id == holder.lease.request_id and again.state is RequestState.WAITING
    taken = pool.submit(f"{fleet.name}/urgent", ask(fleet, priority=10))
    assert taken.id == urgent.id and taken.lease is not None


def test_a_task_uses_a_lease_with_its_environment_and_puts_the_old_one_back(fleet: Fleet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.delenv("UPDRAFT_GPU_LEASE", raising=False)
    lease = held(fleet)
    with use_lease(lease.to_xcom(), pool=client_of(fleet)) as used:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == f"{fleet.name}-0"
        assert not used.stop_wanted.is_set()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    assert "UPDRAFT_GPU_LEASE" not in os.environ


@pytest.fixture(params=["interrupts count", "interrupts are ignored"])
def interrupts(request: pytest.FixtureRequest) -> Iterator[None]:
    """As in a process that was started by hand, and in one that was started in the background of a script."""
    handler = signal.default_int_handler if request.param == "interrupts count" else signal.SIG_IGN
    before = signal.signal(signal.SIGINT, handler)
    yield
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, before)


def test_a_task_inside_hears_that_it_must_stop_and_is_interrupted_when_it_does_not(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, interrupts: None
):
    monkeypatch.setattr("gpu_pool.holder.EVERY_S", 0.1)
    monkeypatch.setattr("gpu_pool.holder.LOST_GRACE_S", 0.2)
    lease = held(fleet)
    with pytest.raises(KeyboardInterrupt), use_lease(lease.to_xcom(), pool=client_of(fleet)) as used:
        client_of(fleet).submit(f"{fleet.name}/urgent", ask(fleet, priority=10))
        until(used.stop_wanted.is_set)
        assert "preempted" in used.reason
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            time.sleep(0.05)


def test_a_lease_that_has_ended_is_used_by_nobody(fleet: Fleet):
    lease, pool = held(fleet), client_of(fleet)
    pool.release(lease.id, lease.token)
    with pytest.raises(AirflowFailException, match="Clear the task that acquires it"), use_lease(lease.to_xcom(), pool=pool):
        pass


def test_to_release_twice_is_fine_and_so_is_an_old_token(fleet: Fleet):
    lease, pool = held(fleet), client_of(fleet)
    pool.release(lease.id, lease.token - 1)
    assert pool.renew(lease.id, lease.token) == replace(lease, notice=None)
    pool.release(lease.id, lease.token)
    pool.release(lease.id, lease.token)
