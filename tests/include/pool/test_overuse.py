"""A share that takes more memory than its grant: shown, or ended for good where the administrator says so."""

from __future__ import annotations

from dataclasses import replace

from include.pool.state import Config, RequestState
from tests.include.pool.floor import Floor, gpus, process

QUIET = Config(lease_ttl_s=1e9, waiting_ttl_s=1e9, node_silent_s=1e9, node_grace_s=1e9, notice_s=30)


def overusing(overuse: str) -> tuple[Floor, str]:
    """A floor where a 10 % share of 80 GB uses 70 GB, as its node has just reported; its lease."""
    floor = Floor(replace(QUIET, overuse=overuse), a=gpus("a", 1, sharing="mps"))
    lease = floor.lease(floor.start("greedy", fraction=0.1)).id
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=70_000, processes=(process(70_000, lease),))]
    floor.report("a")
    floor.pool.tick(floor.now)
    return floor, lease


def test_it_goes_on_where_overuse_is_only_shown() -> None:
    floor, lease = overusing("show")
    assert floor.pool.leases[lease].notice is None


def test_it_has_its_grace_and_then_ends_and_does_not_come_again() -> None:
    floor, lease = overusing("end")
    notice = floor.pool.leases[lease].notice
    assert notice is not None and (notice.kind, notice.deadline) == ("overused", 30)
    request = floor.pool.requests[floor.pool.leases[lease].request_id]
    floor.report("a")
    assert floor.pool.leases[lease].notice == notice  # told once
    floor.at(30)
    assert (request.state, request.end) == (RequestState.ENDED, "overused")
    assert not floor.pool.leases


def test_a_holder_that_stops_in_time_and_asks_for_its_next_turn_has_none() -> None:
    floor, lease = overusing("end")
    request = floor.pool.requests[floor.pool.leases[lease].request_id]
    floor.release(request, requeue=True)
    assert (request.state, request.end) == (RequestState.ENDED, "overused")


def test_a_share_within_its_grant_stays() -> None:
    floor = Floor(replace(QUIET, overuse="end"), a=gpus("a", 1, sharing="mps"))
    lease = floor.lease(floor.start("modest", fraction=0.5))
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=40_000, processes=(process(40_000, lease.id),))]
    floor.report("a")
    assert lease.notice is None


def test_what_follows_from_the_layout_is_found_once_and_anew_when_it_changes() -> None:
    floor = Floor(a=gpus("a", 2))
    space = floor.pool._ledger.space
    floor.start("one", gpus=2)
    remembered = dict(space.remembered)
    assert remembered
    floor.start("two", gpus=2)
    assert space.remembered == remembered
    floor.devices["a"] = gpus("a", 3)
    floor.report("a")
    assert floor.start("three", gpus=3).state is RequestState.WAITING  # two GPUs are leased; possible now
