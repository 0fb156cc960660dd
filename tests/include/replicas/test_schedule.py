"""The least number of servers by the time of day."""

from datetime import UTC, datetime

import pytest

from include.replicas.number import Bounds
from include.replicas.schedule import bounds_of
from include.spec.parts import Replicas

WORK = Replicas(min=1, max=4, schedule={"0 7 * * 1-5": 3, "0 19 * * *": 2})


@pytest.mark.parametrize(
    ("at", "least"),
    [("2026-12-01 06:59", 2), ("2026-12-01 07:01", 3), ("2026-12-01 18:59", 3), ("2026-12-01 19:01", 2), ("2026-12-06 12:00", 2)],
)
def test_what_came_last_holds(at: str, least: int) -> None:
    assert bounds_of(WORK, datetime.fromisoformat(at).replace(tzinfo=UTC)) == Bounds(least, 4)


def test_without_a_schedule_the_least_is_min() -> None:
    assert bounds_of(Replicas(min=2, max=4), datetime.now(UTC)) == Bounds(2, 4)
