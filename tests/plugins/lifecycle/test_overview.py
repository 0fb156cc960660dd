"""The answer that the page Models polls, made once for everybody."""

import threading
import time

import pytest

from lifecycle.api.overview import OLD_S, Shared


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_is_made_once_a_period_and_its_tag_changes_with_it() -> None:
    clock, made = Clock(), list[int]()
    shared = Shared(2.0, clock)
    first = shared.get(lambda: made.append(1) or {"a": 1})
    assert shared.get(lambda: {"a": 2}) == first and len(made) == 1
    clock.now_s += 2
    again = shared.get(lambda: {"a": 1})
    assert again == first, "the same answer has the same tag"
    clock.now_s += 2
    assert shared.get(lambda: {"a": 2})[1] != first[1]


def test_while_one_makes_it_slowly_the_others_get_what_was_there() -> None:
    shared, going = Shared(0.05), threading.Event()
    before = shared.get(lambda: {"a": 1})
    time.sleep(0.06)
    slow = threading.Thread(target=lambda: shared.get(lambda: (going.wait(20) and {"a": 2}) or {}))
    slow.start()
    try:
        begun = time.monotonic()
        assert shared.get(lambda: {"a": 3}) == before and time.monotonic() - begun < 5
    finally:
        going.set()
        slow.join()


def test_what_can_not_be_made_is_told_and_not_hidden_behind_what_was() -> None:
    clock = Clock()
    shared = Shared(2.0, clock)
    shared.get(lambda: {"a": 1})
    clock.now_s += 2 + OLD_S
    with pytest.raises(OSError, match="away"):
        shared.get(lambda: (_ for _ in ()).throw(OSError("away")))
    assert b"2" in shared.get(lambda: {"a": 2})[0], "and nothing stays locked"
