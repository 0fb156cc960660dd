"""Order, ageing, reservation and backfill."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from include.pool.order import in_order, overtaking_s
from include.pool.state import Quota, RequestState
from tests.include.pool.floor import Floor, gpus


def test_priority_comes_first_then_who_came_first():
    floor = Floor(a=1)
    floor.start("running", gpus=1, preemptible=False)
    for key, priority in (("low", 2), ("first", 5), ("second", 5), ("high", 9)):
        floor.now += 1
        floor.start(key, gpus=1, priority=priority)
    assert [request.key for request in floor.pool.line(floor.now)] == ["high", "first", "second", "low"]


def test_inside_a_priority_the_team_that_uses_less_of_its_share_comes_first():
    floor = Floor(a=3)
    floor.start("red1", gpus=2, team="red", preemptible=False)
    floor.start("blue1", gpus=1, team="blue", preemptible=False)
    floor.now = 1
    floor.start("red2", gpus=1, team="red")
    floor.now = 2
    floor.start("blue2", gpus=1, team="blue")
    assert [request.key for request in floor.pool.line(2)] == ["blue2", "red2"]
    for team, weight in (("red", 4.0), ("blue", 1.0)):
        floor.pool.set_quota(2, Quota(team, weight=weight), "admin")
    assert [request.key for request in floor.pool.line(2)] == ["red2", "blue2"]


@given(st.lists(st.tuples(st.integers(1, 10), st.floats(0, 20_000)), min_size=2, max_size=12), st.floats(0, 100_000), st.floats(1, 2_000))
def test_no_request_ever_stands_before_one_submitted_so_much_earlier(wishes: list[tuple[int, float]], look: float, ageing_s: float):
    floor = Floor(a=1)
    for number, (priority, at) in enumerate(wishes):
        floor.now = at
        floor.ask(f"k{number}", gpus=1, priority=priority)
    line = in_order(floor.pool.requests.values(), max(look, *(at for _, at in wishes)), ageing_s, lambda team: (0.0, 0.0))
    for place, early in enumerate(line):
        for before in line[:place]:
            assert before.submitted_at < early.submitted_at + overtaking_s(early.ask.priority, ageing_s)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_every_request_starts_within_the_proven_bound(data: st.DataObject):
    """With leases of at most D seconds: (11 - p) x ageing + (N + 2) x D, N the requests that could ever stand before it (decision 0005)."""
    longest, low = 50.0, 1
    floor = Floor(replace(Floor().pool.config, ageing_s=40.0), a=2)
    ageing = floor.pool.config.ageing_s
    victim = None
    running: dict[str, float] = {}
    started_at = None
    number, could_overtake = 0, 0
    for step in range(150):
        floor.now = step * 25.0
        for request_id, until in list(running.items()):
            if until <= floor.now:
                del running[request_id]
                lease = floor.lease(floor.pool.requests[request_id])
                floor.pool.release(floor.now, lease.id, lease.token)
        burst = data.draw(st.integers(0, 2)) if step < 60 else 0
        for _ in range(burst):  # a flood of important work, for far longer than the bound on overtaking
            number += 1
            floor.ask(f"k{number}", gpus=data.draw(st.integers(1, 2)), priority=10, duration_s=longest, preemptible=False)
            if floor.now < 5 * 25.0 + overtaking_s(low, ageing):
                could_overtake += 1
        if step == 5:
            victim = floor.ask("patient", gpus=2, priority=low, duration_s=longest, preemptible=False)
        floor.pool.tick(floor.now)
        for lease in floor.pool.leases.values():
            running.setdefault(lease.request_id, lease.granted_at + longest)
        if victim is not None and victim.state is RequestState.GRANTED:
            started_at = floor.now
            break
    bound = overtaking_s(low, ageing) + (could_overtake + 2) * longest
    assert started_at is not None, "it starved"
    assert started_at - 125.0 <= bound


jobs = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 10), st.sampled_from([20.0, 60.0, 200.0, 500.0]), st.booleans()), min_size=1, max_size=12
)


class Busy:
    """Holders who are done exactly when they said, and stop as soon as they are told to."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor

    def pass_on(self) -> None:
        for lease in list(self.floor.pool.leases.values()):
            duration = self.floor.pool.requests[lease.request_id].ask.duration_s or 0
            if lease.notice is not None or lease.granted_at + duration <= self.floor.now:
                self.floor.pool.release(self.floor.now, lease.id, lease.token)


@settings(max_examples=40, deadline=None)
@given(jobs, jobs)
def test_backfill_never_delays_the_first_in_line(before: list[tuple[int, int, float, bool]], after: list[tuple[int, int, float, bool]]):
    """With durations that hold, whoever is first in line starts no later than was first promised, whatever comes behind it."""
    floor = Floor(a=4, b=4)
    for number, (size, _, duration, soft) in enumerate(before):
        floor.start(f"b{number}", gpus=size, priority=5, duration_s=duration, preemptible=soft, grace_s=1)
    head = floor.start("head", gpus=4, nodes=2, priority=10, preemptible=False, duration_s=100)
    promised, busy, arrivals = head.starts_at or 0.0, Busy(floor), list(enumerate(after))
    while head.state is RequestState.WAITING and floor.now < 3000:
        floor.now += 5
        busy.pass_on()
        if arrivals and floor.now % 20 == 0:
            number, (size, priority, duration, soft) = arrivals.pop(0)
            floor.ask(f"a{number}", gpus=size, priority=min(priority, 9), duration_s=duration, preemptible=soft, grace_s=1)
        floor.pool.tick(floor.now)
    assert head.state is RequestState.GRANTED
    assert floor.now <= promised + 5  # the clock of this test moves in steps of five


def test_a_brief_and_preemptible_one_runs_on_what_is_reserved_and_is_gone_in_time():
    floor = Floor(a=2)
    floor.start("long", gpus=1, duration_s=1000, preemptible=False)
    head = floor.start("head", gpus=2, priority=9)
    assert head.starts_at == 1000
    firm = floor.start("firm", gpus=1, duration_s=100, preemptible=False)
    slow = floor.start("slow", gpus=1, duration_s=990)
    brief = floor.start("brief", gpus=1, duration_s=100)
    assert floor.running(firm, slow, brief) == [False, False, True]
    assert floor.lease(brief).ends_by == 1000
    floor.at(970)
    notice = floor.lease(brief).notice
    assert notice is not None and (notice.kind, notice.deadline) == ("overdue", 1000)
    floor.now = 1000
    floor.release(floor.pool.requests[floor.pool.leases[next(iter(floor.pool.leases))].request_id])
    assert head.state is RequestState.GRANTED


def test_one_that_fits_elsewhere_does_not_wait_for_the_first_in_line():
    floor = Floor(a=2, b=gpus("b", 1, model="L4", memory_mib=23_034))
    floor.start("running", gpus=1, models=["H100-80GB"], duration_s=500, preemptible=False)
    floor.start("head", gpus=2, priority=9)
    other = floor.start("other", gpus=1, models=["L4"], preemptible=False)
    assert other.state is RequestState.GRANTED


def test_who_waits_reads_what_it_lacks_where_it_stands_and_when_it_may_start():
    floor = Floor(a=2)
    floor.start("running", gpus=1, duration_s=500, preemptible=False)
    head = floor.start("head", gpus=2, priority=9, duration_s=60)
    behind = floor.start("behind", gpus=1)
    assert head.reasons == ("It needs 2 free whole GPUs on one node; the most now is 1, on a.",)
    assert head.starts_at == 500
    assert behind.reasons[0] == "1 request stands before it in the queue."
    assert behind.starts_at == 560
