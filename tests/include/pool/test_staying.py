"""The pool places work by what comes free later: by what holders say, and by how long work of the same kind has stayed."""

from __future__ import annotations

from include.placement.later import ENOUGH
from tests.include.pool.floor import Floor


def ended(floor: Floor, key: str, lasts_s: float, team: str = "default") -> None:
    """Somebody's work has run for so long, alone, on a whole node."""
    request = floor.start(key, gpus=2, team=team)
    floor.at(floor.now + lasts_s)
    floor.release(request)


def two_half_held(floor: Floor, **first: object) -> list[str]:
    """``first`` holds a GPU of node a, somebody without end one of b; where the next one goes, and who asks after it."""
    for node, fields in (("a", first), ("b", {"endless": True})):
        floor.start(f"dag/run/on-{node}", gpus=1, labels={"updraft.io/node": node}, **fields)
    for number in range(3):  # others have wanted pairs
        floor.pool.cancel(floor.now, floor.start(f"pair{number}", gpus=2).id, "test")
    return [grant.node for grant in floor.grants(floor.start("next", gpus=1, endless=True))]


def test_a_node_that_is_whole_again_soon_by_its_holders_word_is_left_alone():
    floor = Floor(a=2, b=2)
    for number in range(ENOUGH):
        ended(floor, f"dag/{number}/short", 60.0)
    assert two_half_held(floor, duration_s=30.0) == ["b"]


def test_a_node_that_is_whole_again_soon_by_what_such_work_did_before_is_left_alone():
    floor = Floor(a=2, b=2)
    for number in range(ENOUGH):
        ended(floor, f"dag/{number}/on-a", 60.0)
    assert two_half_held(floor) == ["b"]


def test_a_new_server_knows_from_what_has_ended_how_long_work_stays():
    floor = Floor(a=2, b=2)
    for number in range(ENOUGH):
        ended(floor, f"dag/{number}/on-a", 60.0)
    past = floor.pool.take_changes()
    known = {request.id: request for request in past.requests.values()}
    anew = Floor(a=2, b=2)
    anew.pool.recall((lease, known[lease.request_id]) for lease in past.leases.values())
    assert two_half_held(anew) == ["b"]


def test_who_was_stopped_would_have_stayed_longer():
    told = []

    class Heard:
        def over(self, key: object, now: float, *, by_itself: bool) -> None:
            told.append(by_itself)

    floor = Floor(a=1)
    floor.pool._ledger.space.staying._policy = Heard()
    Heard.begun = lambda self, key, stay, now: None  # type: ignore[attr-defined]
    low = floor.start("low", gpus=1, priority=1)
    floor.start("high", gpus=1, priority=9)
    floor.release(low, requeue=True)
    high = next(request for request in floor.pool.requests.values() if request.key == "high")
    floor.release(high)
    assert told == [False, True]
