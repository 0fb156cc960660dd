"""A lease's life: heartbeat, fencing, expiry, takeover."""

from __future__ import annotations

import pytest

from include.pool.ask import Ask
from include.pool.errors import Conflict, Gone, Impossible, Missing
from include.pool.state import Config, RequestState
from tests.include.pool.floor import Floor

CONFIG = Config(lease_ttl_s=60, waiting_ttl_s=120, node_silent_s=1e9)


def test_a_lease_lives_by_its_heartbeats_and_not_a_second_longer():
    floor = Floor(CONFIG, a=1)
    request = floor.start("k", gpus=1)
    lease = floor.lease(request)
    floor.pool.renew(50, lease.id, lease.token)
    floor.at(109.9)
    assert request.state is RequestState.GRANTED
    floor.at(110)
    assert (request.end, lease.end, floor.pool.free_milli("a", "a-0")) == ("expired", "expired", 1000)


def test_a_request_may_name_its_own_patience():
    floor = Floor(CONFIG, a=1)
    request = floor.start("k", gpus=1, ttl_s=600)
    floor.at(599)
    assert request.state is RequestState.GRANTED
    floor.at(600)
    assert request.end == "expired"


def test_what_waits_is_forgotten_when_nobody_asks_after_it():
    floor = Floor(CONFIG, a=1)
    floor.start("running", gpus=1, ttl_s=10_000)
    request = floor.start("k", gpus=1)
    floor.pool.touch(100, request.id)
    floor.at(219)
    assert request.state is RequestState.WAITING
    floor.at(220)
    assert request.end == "expired"


def test_asking_again_takes_the_lease_over_and_fences_off_who_held_it():
    floor = Floor(CONFIG, a=1)
    request = floor.start("k", gpus=1)
    lease = floor.lease(request)
    old = lease.token
    assert floor.start("k", gpus=1) is request
    assert floor.lease(request) is lease and lease.token > old
    for act in (floor.pool.renew, floor.pool.release):
        with pytest.raises(Conflict, match="holds it now"):
            act(0, lease.id, old)
    assert request.state is RequestState.GRANTED


def test_asking_differently_under_the_same_key_begins_anew():
    floor = Floor(CONFIG, a=2)
    first = floor.start("k", gpus=1)
    second = floor.start("k", gpus=2)
    assert (first.end, second.state) == ("replaced", RequestState.GRANTED)


def test_another_holders_key_is_refused():
    floor = Floor(CONFIG, a=1)
    floor.start("k", gpus=1)
    with pytest.raises(Conflict, match="k is a request of user"):
        floor.pool.submit(0, "k", "somebody", Ask(gpus=1))


def test_releasing_twice_is_fine_and_renewing_then_says_what_became_of_it():
    floor = Floor(CONFIG, a=1)
    request = floor.start("k", gpus=1)
    lease = floor.lease(request)
    assert floor.pool.release(1, lease.id, lease.token) is floor.pool.release(2, lease.id, lease.token)
    with pytest.raises(Gone, match=r"has ended \(released\)"):
        floor.pool.renew(3, lease.id, lease.token)
    with pytest.raises(Missing):
        floor.pool.renew(3, "nonsense", 1)


def test_a_cancelled_request_frees_what_it_held():
    floor = Floor(CONFIG, a=1)
    request = floor.start("k", gpus=1)
    floor.pool.cancel(1, request.id, "user")
    assert floor.pool.free_milli("a", "a-0") == 1000
    with pytest.raises(Missing):
        floor.pool.cancel(1, request.id, "user")


def test_a_clock_that_goes_back_shortens_nothing():
    floor = Floor(CONFIG, a=1)
    lease = floor.lease(floor.start("k", gpus=1))
    floor.pool.renew(50, lease.id, lease.token)
    floor.pool.renew(20, lease.id, lease.token)
    assert lease.expires_at == 110


def test_a_tick_with_nothing_to_do_does_nothing():
    floor = Floor(CONFIG, a=1)
    floor.start("k", gpus=1)
    floor.pool.take_changes()
    floor.at(1)
    assert not floor.pool.take_changes()
    assert floor.pool.next_due() == 60


def test_the_impossible_is_refused_with_the_nearest_that_is_possible():
    floor = Floor(CONFIG, a=4, b=2)
    nearest = []
    for fields in ({"gpus": 8}, {"memory": "200GiB"}, {"fraction": 0.5}, {"gpus": 4, "nodes": 2}, {"gpus": 1, "models": ["B200"]}):
        with pytest.raises(Impossible) as refused:
            floor.ask("k", **fields)
        nearest.append(refused.value.nearest.size() if refused.value.nearest else None)
    assert nearest == ["4 GPUs", "80 GiB of a GPU", "1 GPU", "4 GPUs", "1 GPU"]
    with pytest.raises(Impossible, match="there is no MIG instance at all"):
        floor.ask("k", mig="1g.10gb")
    assert not floor.pool.requests


def test_with_no_node_at_all_a_request_waits_and_is_told_what_to_do():
    floor = Floor(CONFIG)
    request = floor.start("k", gpus=1)
    assert "start an agent" in request.reasons[0]
