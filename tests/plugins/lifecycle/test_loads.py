"""Models follow their load: what is written down, by whom, and what a gateway that is away leads to. The database is real."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from include.errors import ComponentError
from include.replicas.load import Aim
from include.replicas.number import Bounds
from lifecycle.db import replicas, serving
from lifecycle.loads import Loads, under_way

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
BOUNDS = {"digits": Bounds(1, 4), "wine": Bounds(1, 2)}


class Gateway:
    """The counters of a gateway, as its administration tells them."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}
        self.away = False

    def counters(self, pattern: str) -> dict[str, int]:
        if self.away:
            raise ComponentError("does not answer.", where="Envoy")
        return self.found


def play(engine: Engine, loads: Loads, first: int, last: int, said: dict[str, int]) -> dict[str, int]:
    """Look once a second; the numbers at the end."""
    for second in range(first, last):
        with Session(engine) as session:
            said = loads.round(session, BOUNDS, said, NOW, float(second))
            session.commit()
    return said


def test_a_models_arms_are_counted_together_and_no_other_models(engine: Engine) -> None:
    gateway = Gateway()
    gateway.found = {
        "cluster.digits-3.upstream_rq_active": 20,
        "cluster.digits-3-over-4.upstream_rq_active": 5,
        "cluster.digits-4.upstream_rq_pending_active": 7,
        "cluster.wine-1.upstream_rq_active": 1,
        "cluster.mirror.upstream_rq_active": 9,
    }
    assert under_way(gateway) == {"digits": 32.0, "wine": 1.0}  # type: ignore[arg-type]


def test_a_load_is_answered_with_servers_and_its_act_is_kept(engine: Engine) -> None:
    gateway = Gateway()
    gateway.found = {"cluster.digits-3.upstream_rq_active": 32}
    loads = Loads(lambda: {"digits": Aim(10)}, lambda: under_way(gateway), lambda text: None)  # type: ignore[arg-type]
    assert play(engine, loads, 0, 25, {}) == {}
    assert play(engine, loads, 25, 40, {}) == {"digits": 4}
    with Session(engine) as session:
        (row,) = serving.acts(session, "digits", 10)
        assert (row.act, row.author, row.body) == ("scale", "updraft", {"replicas": {"before": 1, "after": 4}})
        assert row.why == "32.0 requests under way, 10 a server, for 30 s."
        assert replicas.scales(session)["digits"].replicas == 4
    gateway.found = {}
    said = play(engine, loads, 40, 330, {"digits": 4})
    assert said == {"digits": 4} and play(engine, loads, 330, 380, said) == {"digits": 1}


def test_a_gateway_that_is_away_changes_nothing_and_makes_what_was_seen_before_count_no_more(engine: Engine) -> None:
    gateway, told = Gateway(), list[str]()
    loads = Loads(lambda: {"digits": Aim(10)}, lambda: under_way(gateway), told.append)  # type: ignore[arg-type]
    assert play(engine, loads, 0, 299, {"digits": 3}) == {"digits": 3}
    gateway.away = True
    assert play(engine, loads, 299, 310, {"digits": 3}) == {"digits": 3} and len(told) == 1
    gateway.away = False
    assert play(engine, loads, 310, 600, {"digits": 3}) == {"digits": 3}
    assert play(engine, loads, 600, 620, {"digits": 3}) == {"digits": 1}
