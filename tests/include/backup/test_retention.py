from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from include.backup.retention import Held, too_many

NOW = datetime(2026, 12, 1, 6, tzinfo=UTC)


def held(days: int, *, whole: bool = True, proven: bool = True) -> Held:
    made_at = NOW - timedelta(days=days)
    return Held(f"{made_at:%Y%m%dT%H%M%SZ}-000000", made_at, whole, proven)


def names(*days: int) -> list[str]:
    return sorted(held(one).name for one in days)


def test_the_newest_stay_by_count_and_the_young_by_age() -> None:
    assert too_many([held(day) for day in (0, 1, 5, 40, 50)], keep=2, days=7, now=NOW) == names(40, 50)


def test_few_backups_stay_however_old() -> None:
    assert too_many([held(100), held(200)], keep=2, days=7, now=NOW) == []


def test_no_row_of_bad_backups_pushes_out_the_last_good_one() -> None:
    bad = [held(day, proven=False) for day in range(10)]
    assert held(90).name not in too_many([*bad, held(90), held(91)], keep=3, days=1, now=NOW)
    assert held(91).name in too_many([*bad, held(90), held(91)], keep=3, days=1, now=NOW)


def test_what_a_killed_backup_has_left_goes_after_a_day_and_one_that_may_be_under_way_stays() -> None:
    assert too_many([held(0, whole=False), held(2, whole=False)], keep=9, days=9, now=NOW) == names(2)


@given(
    st.lists(st.builds(held, st.integers(0, 60), whole=st.booleans(), proven=st.booleans()), unique_by=lambda one: one.name),
    st.integers(1, 5),
)
def test_something_whole_always_stays(found: list[Held], keep: int) -> None:
    left = {one.name for one in found} - set(too_many(found, keep, 5, NOW))
    assert any(one.whole for one in found) <= any(one.whole and one.name in left for one in found)
