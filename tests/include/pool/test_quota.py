"""Limits, guarantees, borrowing and its return."""

from __future__ import annotations

import pytest

from include.errors import InputError
from include.pool.errors import Impossible, Missing
from include.pool.state import Quota
from tests.include.pool.floor import Floor, gpus


def floor_with(**quotas: tuple[float, float | None]) -> Floor:
    floor = Floor(a=4)
    for team, (guaranteed, limit) in quotas.items():
        floor.pool.set_quota(0, Quota(team, guaranteed, limit), "admin")
    return floor


def told(floor: Floor) -> list[tuple[str, str]]:
    return [(floor.pool.requests[lease.request_id].key, lease.notice.kind) for lease in floor.pool.leases.values() if lease.notice]


def test_a_limit_is_never_passed_and_holds_nobody_else_back():
    floor = floor_with(red=(0, 2))
    first, second = floor.start("r1", gpus=2, team="red"), floor.start("r2", gpus=1, team="red", priority=9)
    other = floor.start("b1", gpus=2, team="blue")
    assert floor.running(first, second, other) == [True, False, True]
    assert second.reasons == ("Team red is at its limit: it holds 2 of 2 GPUs and this asks for 1 more.",)


def test_an_ask_over_the_limit_is_refused_at_once():
    floor = floor_with(red=(0, 2))
    with pytest.raises(Impossible, match="team red may hold 2 GPUs and this asks for 3"):
        floor.ask("r", gpus=3, team="red")


def test_what_nobody_asks_for_is_lent_and_comes_back_when_its_team_asks():
    floor = floor_with(red=(2, None), blue=(2, None))
    for number in range(4):
        floor.start(f"r{number}", gpus=1, team="red", priority=9)
    back = floor.start("b", gpus=2, team="blue", priority=1)
    assert [kind for _, kind in told(floor)] == ["reclaimed", "reclaimed"]
    floor.at(30)
    assert floor.running(back) == [True]
    assert floor.pool.team_use() == {"red": 2.0, "blue": 2.0}


def test_a_team_never_gives_back_more_than_it_borrowed():
    floor = floor_with(red=(3, None), blue=(1, None))
    for number in range(3):
        floor.start(f"r{number}", gpus=1, team="red")
    floor.start("green", gpus=1, team="green", preemptible=True)
    floor.start("b", gpus=1, team="blue", priority=1)
    assert told(floor) == [("green", "reclaimed")]


def test_priority_alone_takes_nothing_that_is_guaranteed():
    floor = floor_with(red=(4, None))
    for number in range(4):
        floor.start(f"r{number}", gpus=1, team="red", priority=1)
    floor.start("b", gpus=1, team="blue", priority=10)
    assert told(floor) == []


def test_within_a_team_priority_takes_from_its_own():
    floor = floor_with(red=(4, None))
    for number in range(4):
        floor.start(f"r{number}", gpus=1, team="red", priority=1)
    floor.start("urgent", gpus=1, team="red", priority=10)
    assert [kind for _, kind in told(floor)] == ["preempted"]


def test_what_cannot_be_preempted_never_takes_what_others_are_guaranteed():
    floor = floor_with(red=(3, None))
    first = floor.start("b1", gpus=1, team="blue", preemptible=False)
    firm = floor.start("b2", gpus=1, team="blue", preemptible=False)
    soft = floor.start("b3", gpus=2, team="blue")
    assert floor.running(first, firm, soft) == [True, False, True]
    assert "would take what is guaranteed to others (3 of 4 GPUs)" in firm.reasons[0]


def test_a_quota_that_contradicts_itself_is_refused():
    floor = floor_with()
    with pytest.raises(InputError, match="not over the limit"):
        floor.pool.set_quota(0, Quota("red", 4, 2), "admin")
    with pytest.raises(InputError, match="weight is 0"):
        floor.pool.set_quota(0, Quota("red", weight=0), "admin")
    with pytest.raises(Missing):
        floor.pool.delete_quota(0, "red", "admin")


def test_what_cannot_be_preempted_and_never_could_run_for_others_guarantees_is_refused_at_once():
    floor = floor_with(red=(3, None))
    with pytest.raises(Impossible, match="of 4 GPUs 3 are guaranteed to other teams") as refused:
        floor.ask("b", gpus=2, team="blue", preemptible=False)
    assert refused.value.nearest is not None and refused.value.nearest.preemptible


def test_a_team_may_run_firm_work_within_its_guarantee_though_nodes_are_out_of_service():
    floor = Floor(a=2, b=2)
    for team in ("red", "blue"):
        floor.pool.set_quota(0, Quota(team, 2), "admin")
    floor.pool.cordon(0, "b", "repair", "admin")
    assert floor.running(floor.start("r", gpus=2, team="red", preemptible=False)) == [True]


def test_a_mig_instance_counts_its_slices_of_a_gpu():
    floor = Floor(a=gpus("a", 7, memory_mib=9_856, mig="1g.10gb"))
    floor.pool.set_quota(0, Quota("red", 0.5), "admin")
    firm = [floor.start(f"b{number}", mig="1g.10gb", team="blue", preemptible=False) for number in range(5)]
    assert floor.running(*firm) == [True, True, True, False, False]
