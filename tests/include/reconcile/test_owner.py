"""One owner at a time, whoever lives, dies or is slow, and whatever their clocks say."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from include.reconcile.owner import STILL_S, Beat, Claim, Watched, claim
from include.reconcile.sight import Sight, looked


class Contender:
    """One process with a clock of its own, which is off and runs at its own rate."""

    def __init__(self, me: str, offset: float) -> None:
        self.me, self.offset, self.known, self.renewed = me, offset, Watched(), -1e9

    def look(self, row: Beat | None, now: float) -> Beat | None:
        wish, self.known = claim(self.me, row, self.known, now + self.offset)
        if wish is Claim.WATCH:
            return row
        taken = Beat(self.me, row.beat + 1 if row else 1)
        self.known, self.renewed = Watched(taken, now + self.offset, taken.beat), now + self.offset
        return taken

    def owns(self, now: float) -> bool:
        return self.known.mine is not None and now + self.offset - self.renewed < STILL_S


@given(
    offsets=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=4),
    looks=st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 20)), max_size=60),
)
@settings(max_examples=200)
def test_never_two_owners(offsets: list[float], looks: list[tuple[int, float]]) -> None:
    who = [Contender(f"place{number}/x", offset) for number, offset in enumerate(offsets)]
    row: Beat | None = None
    now = 0.0
    for number, pause in looks:
        now += pause
        row = who[number % len(who)].look(row, now)
        assert sum(one.owns(now) for one in who) <= 1


def test_a_dead_owner_is_succeeded_once_its_row_has_stood_still() -> None:
    first, second = Contender("a/1", 0), Contender("b/1", 5_000)
    row = first.look(None, 0)
    assert second.look(row, 1) == row and second.look(row, 1 + STILL_S - 0.1) == row
    assert second.look(row, 1 + STILL_S) == Beat("b/1", 2)


def test_a_process_started_again_takes_over_from_its_own_place_at_once_but_two_of_one_place_do_not_take_turns() -> None:
    old, new = Contender("a/1", 0), Contender("a/2", 0)
    row = old.look(None, 0)
    row = new.look(row, 1)
    assert row == Beat("a/2", 2)
    assert old.look(row, 2) == row and old.look(row, 3) == row


def test_who_finds_its_row_taken_owns_nothing() -> None:
    first = Contender("a/1", 0)
    row = first.look(None, 0)
    assert row is not None and first.owns(1)
    first.look(replace(row, holder="b/1", beat=2), 1)
    assert not first.owns(1)


def test_silence_is_counted_from_the_first_look_at_it_and_forgotten_with_a_new_process() -> None:
    seen = looked(Sight(), "7", alive=True, ready=True, now_s=1)
    seen = looked(looked(seen, "7", alive=True, ready=False, now_s=5), "7", alive=True, ready=False, now_s=9)
    assert seen.silent_s == 5 and seen.was_ready
    again = looked(seen, "8", alive=True, ready=False, now_s=10)
    assert again.silent_s == 10 and not again.was_ready
    assert looked(seen, "7", alive=False, ready=False, now_s=11) == Sight()
