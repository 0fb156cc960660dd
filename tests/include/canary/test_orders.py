"""What a person may have a trial do, and when."""

import pytest

from include.canary.given import latest, resumed_since
from include.canary.orders import Order, hindrance


@pytest.mark.parametrize(
    ("order", "last", "said"),
    [
        (Order.PAUSE, None, ""),
        (Order.PAUSE, Order.RESUME, ""),
        (Order.PAUSE, Order.PAUSE, "paused already"),
        (Order.RESUME, Order.PAUSE, ""),
        (Order.RESUME, None, "not paused"),
        (Order.PROMOTE, Order.PAUSE, ""),
        (Order.END, None, ""),
        (Order.END, Order.PROMOTE, "ordered already to promote"),
        (Order.PAUSE, Order.END, "ordered already to end"),
    ],
)
def test_an_order_makes_sense_after_the_one_before(order: Order, last: Order | None, said: str) -> None:
    found = hindrance(order, last, under_way=True, decided="")
    assert (said in found) and bool(found) == bool(said)


def test_a_trial_that_is_decided_or_not_there_takes_no_orders() -> None:
    assert "decided already: ROLLBACK" in hindrance(Order.END, None, under_way=True, decided="ROLLBACK")
    assert "No trial" in hindrance(Order.END, None, under_way=False, decided="")


def test_the_last_order_counts() -> None:
    rows = [
        {"order": name, "who": "anna", "why": "w", "at": f"2026-11-21T02:0{at}:00+00:00"} for at, name in enumerate(("pause", "resume"))
    ]
    found = latest(rows)
    assert found is not None and found.order is Order.RESUME and not found.paused and not found.final
    assert latest(rows[:1]).paused  # type: ignore[union-attr]
    assert latest([]) is None


def test_what_came_during_a_pause_is_known_by_the_last_look() -> None:
    resumed = latest([{"order": "resume", "who": "anna", "why": "w", "at": "2026-11-21T02:05:00+00:00"}])
    assert resumed_since(resumed, "2026-11-21T02:04:00+00:00") and resumed_since(resumed, None)
    assert not resumed_since(resumed, "2026-11-21T02:06:00+00:00") and not resumed_since(None, None)
