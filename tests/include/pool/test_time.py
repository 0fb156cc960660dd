"""What only time brings about comes about by itself, and never for nobody."""

from __future__ import annotations

from dataclasses import replace

from include.pool.pool import Pool
from include.pool.state import Config, Lease, NodeReport, RequestState
from tests.include.pool.floor import Floor, gpus

QUIET = Floor().pool.config


def noticed(floor: Floor) -> list[Lease]:
    return [lease for lease in floor.pool.leases.values() if lease.notice]


def by_itself(floor: Floor, until: float) -> None:
    """Ticks when the pool says that it is due, as its broker does, and at no other time."""
    while (due := floor.pool.next_due()) is not None and due <= until:
        floor.at(max(due, floor.now))
    floor.now = until


# What is due


def test_the_awaited_end_of_a_lease_is_looked_at_when_it_has_passed():
    floor = Floor(a=1)
    overrun = floor.start("overrun", gpus=1, priority=1, duration_s=100)
    floor.now = 80
    important = floor.start("important", gpus=1, priority=10)
    assert not noticed(floor)  # its place is free sooner
    by_itself(floor, 1000)
    assert floor.running(important, overrun) == [True, False]
    assert important.lease_id and floor.lease(important).granted_at == 130


def test_waiting_that_lifts_one_over_another_is_looked_at_when_it_does():
    """It has waited long enough to stop who has waited before: nobody else asks anything meanwhile."""
    floor = Floor(a=1)
    first = floor.start("first", gpus=1, priority=9, preemptible=False)
    patient = floor.start("patient", gpus=1, priority=2)
    floor.at(3 * 600)
    floor.release(first)
    floor.now = 1900
    important = floor.start("important", gpus=1, priority=5)
    assert floor.running(patient, important) == [True, False]
    by_itself(floor, 1900 + 601)  # 5 + 1 is as much as 2 + 3 and one
    assert [lease.request_id for lease in noticed(floor)] == [patient.id]
    by_itself(floor, 1900 + 700)
    assert floor.running(important) == [True]


# Leases without end


def test_nothing_is_kept_free_beside_a_lease_without_end():
    floor = Floor(a=8, b=8, c=8, d=8)
    floor.start("served", gpus=1, priority=8, preemptible=False, endless=True)
    gang = floor.start("gang", gpus=8, nodes=4, priority=9, preemptible=False)
    others = [floor.start(f"other{number}", gpus=1, preemptible=False) for number in range(31)]
    assert floor.running(gang, *others) == [False] + [True] * 31
    assert gang.starts_at is None
    assert any("without end" in reason for reason in gang.reasons)


def test_a_lease_that_says_nothing_is_awaited_for_an_hour_and_not_for_ever():
    floor = Floor(a=8, b=8)
    floor.start("silent", gpus=1, preemptible=False)
    gang = floor.start("gang", gpus=8, nodes=2, priority=9, preemptible=False)
    firm = floor.start("firm", gpus=1, preemptible=False)
    lent = [floor.start(f"soft{number}", gpus=1) for number in range(15)]
    assert floor.running(gang, firm, *lent) == [False, False] + [True] * 15
    by_itself(floor, 3601)
    floor.release(lent[0])
    assert floor.running(gang, firm) == [False, True]


def test_what_is_reserved_can_come_free():
    floor = Floor(a=2, b=2)
    floor.start("served", gpus=1, priority=9, preemptible=False, endless=True, labels={"updraft.io/node": "a"})
    floor.start("long", gpus=1, priority=9, preemptible=False, duration_s=5000, labels={"updraft.io/node": "b"})
    head = floor.start("head", gpus=2, priority=8, preemptible=False)
    other = floor.start("other", gpus=1, preemptible=False)
    assert (head.starts_at, floor.running(other)) == (5000, [True])
    assert floor.grants(other)[0].node == "a"


def test_one_that_was_let_in_gives_way_when_all_else_is_free_and_not_before():
    floor = Floor(a=2)
    blocker = floor.start("blocker", gpus=1, preemptible=False)
    head = floor.start("head", gpus=2, priority=5)
    lent = floor.start("lent", gpus=1, priority=5)
    assert floor.running(lent) == [True] and floor.lease(lent).lent_by == head.id
    by_itself(floor, 900)
    assert not noticed(floor)
    floor.release(blocker)
    assert [lease.request_id for lease in noticed(floor)] == [lent.id]
    by_itself(floor, 930)
    assert floor.running(head, lent) == [True, False]


# Nobody stops for nobody


def test_one_that_was_let_in_stays_when_whoever_it_was_to_make_room_for_is_gone():
    for gone in ("cancelled", "placed"):
        floor = Floor(a=2, b=2)
        floor.start("long", gpus=1, duration_s=1000, preemptible=False)
        other = floor.start("other", gpus=2, duration_s=2000, preemptible=False)
        head = floor.start("head", gpus=2, priority=9)
        brief = floor.start("brief", gpus=1, duration_s=100)
        assert floor.lease(brief).ends_by == 1000
        if gone == "cancelled":
            floor.pool.cancel(10, head.id, "user")
            floor.at(10)
        else:
            floor.release(other)
            assert floor.running(head) == [True]
        assert (floor.lease(brief).ends_by, floor.lease(brief).lent_by) == (None, "")
        by_itself(floor, 5000)
        assert brief.state is RequestState.GRANTED and not noticed(floor), gone


# The grace of who must stop


def test_of_equals_the_one_that_stops_sooner_is_told():
    floor = Floor(a=2)
    floor.start("slow", gpus=1, priority=3, grace_s=200)
    floor.now = 5
    floor.start("quick", gpus=1, priority=3, grace_s=20)
    floor.now = 1000
    floor.start("important", gpus=1, priority=8)
    assert [lease.notice.deadline for lease in noticed(floor) if lease.notice] == [1020]
    floor = Floor(a=2)
    floor.start("quick", gpus=1, priority=3, grace_s=20)
    floor.now = 5
    floor.start("slow", gpus=1, priority=3, grace_s=200)
    floor.now = 1000
    floor.start("important", gpus=1, priority=8)
    assert [lease.notice.deadline for lease in noticed(floor) if lease.notice] == [1020]


def test_no_grace_is_longer_than_the_administrator_allows():
    floor = Floor(replace(QUIET, longest_grace_s=120.0), a=1)
    floor.start("slow", gpus=1, priority=3, grace_s=3600)
    floor.start("important", gpus=1, priority=8)
    assert [lease.notice.deadline for lease in noticed(floor) if lease.notice] == [120]


# Parts of the fleet


def mixed() -> Floor:
    return Floor(h=gpus("h", 2), a=gpus("a", 2, model="A100-80GB"))


def test_who_waits_for_one_kind_keeps_nobody_from_stopping_others_on_another():
    floor = mixed()
    floor.start("firm", gpus=2, models=["H100-80GB"], preemptible=False, priority=9)
    floor.start("low", gpus=2, models=["A100-80GB"], priority=1)
    floor.start("waits", gpus=2, models=["H100-80GB"], priority=9)
    important = floor.start("important", gpus=2, models=["A100-80GB"], priority=8)
    by_itself(floor, 31)
    assert floor.running(important) == [True]


def test_who_waits_for_one_kind_keeps_nobody_from_a_reservation_on_another():
    floor = mixed()
    floor.start("firm", gpus=2, models=["H100-80GB"], preemptible=False, priority=9, duration_s=9000)
    floor.start("half", gpus=1, models=["A100-80GB"], preemptible=False, duration_s=1000)
    floor.start("waits", gpus=2, models=["H100-80GB"], priority=9)
    second = floor.start("second", gpus=2, models=["A100-80GB"], priority=8)
    passer = floor.start("passer", gpus=1, models=["A100-80GB"], preemptible=False)
    assert (second.starts_at, floor.running(passer)) == (1000, [False])


# Silence of the pool itself

DEFAULT = Config()


def outage(length: float) -> tuple[list[bool], bool, list[float], bool]:
    """Who still runs, whether the line is the same, since when its requests wait, whether the node is in service."""
    floor = Floor(DEFAULT, a=2)
    held = [floor.start(f"held{number}", gpus=1, preemptible=False) for number in range(2)]
    line = []
    for number, priority in enumerate((3, 5, 5)):
        floor.now += 1
        floor.report("a")
        line.append(floor.start(f"waits{number}", gpus=1, priority=priority))
    before = [request.key for request in floor.pool.line(floor.now)]
    left = floor.now
    floor.at(left + length)  # nobody was heard, as nobody listened
    returned = floor.now
    for _ in range(30):  # now everybody comes back, some at once, some late
        floor.now += 1
        if floor.now - returned > 4:
            floor.report("a")
        if floor.now - returned > 9:
            for request in held:
                lease = floor.lease(request)
                floor.pool.renew(floor.now, lease.id, lease.token)
        if floor.now - returned > 14:
            for request in line:
                floor.pool.touch(floor.now, request.id)
        floor.pool.tick(floor.now)
    after = [request.key for request in floor.pool.line(floor.now)]
    return floor.running(*held), before == after, [request.waiting_since for request in line], not floor.pool.nodes["a"].lost


def test_an_outage_of_any_length_kills_no_work_and_keeps_the_line():
    for length in (*range(1, 20), *range(20, 200, 7), 600, 1800, 3600):
        running, same_line, since, in_service = outage(float(length))
        assert (running, since, in_service) == ([True, True], [1, 2, 3], True), length
        assert same_line or length > 60, length  # longer waiting moves by levels, as it would have


def test_a_new_server_on_old_tables_gives_everybody_time_to_come_back():
    floor = Floor(DEFAULT, a=1)
    held = floor.start("held", gpus=1)
    again = Pool(DEFAULT)
    again.restore(floor.pool.nodes.values(), floor.pool.requests.values(), floor.pool.leases.values(), [])
    again.tick(59)
    again.tick(1800)
    lease = again.leases[held.lease_id]
    again.tick(1840)
    again.renew(1840, lease.id, lease.token)
    again.report(1840, "a", "declared", 99, 1840, [NodeReport("a", {}, tuple(gpus("a", 1)))])
    again.tick(1861)
    assert list(again.leases) == [lease.id]


def test_who_is_silent_after_the_return_too_has_ended_when_the_time_to_come_back_is_over():
    floor = Floor(DEFAULT, a=1)
    held = floor.start("held", gpus=1)
    floor.at(1800)
    assert floor.running(held) == [True]
    by_itself(floor, 1861)
    assert held.end == "expired" or held.state is RequestState.WAITING


def test_a_notice_that_ran_out_in_an_outage_is_given_its_time_again():
    floor = Floor(DEFAULT, a=1)
    low = floor.start("low", gpus=1, priority=1)
    floor.start("important", gpus=1, priority=9)
    floor.at(1800)
    assert [lease.notice.deadline for lease in noticed(floor) if lease.notice] == [1830]
    assert floor.running(low) == [True]


def test_a_clock_set_forward_kills_no_work():
    floor = Floor(DEFAULT, a=1)
    held = floor.start("held", gpus=1)
    lease = floor.lease(held)
    for now in (3, 6, 7206, 7209):
        floor.now = now
        floor.pool.tick(now)
        floor.report("a")
        floor.pool.renew(now, lease.id, lease.token)
    assert floor.running(held) == [True]


def test_whoever_waits_for_what_nobody_awaits_is_told_so():
    floor = Floor(a=8)
    floor.start("served", gpus=1, preemptible=False, endless=True)
    waiting = [floor.start(f"whole{number}", gpus=8, preemptible=False) for number in range(3)]
    assert all("without end" in " ".join(request.reasons) for request in waiting)
    assert floor.running(floor.start("small", gpus=7, preemptible=False)) == [True]
