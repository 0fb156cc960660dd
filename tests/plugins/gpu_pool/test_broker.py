"""The broker on real databases: what it answers is kept, and two of them give out nothing twice."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from gpu_pool.broker import Broken
from include.errors import ComponentError
from include.pool.ask import Ask
from include.pool.errors import Conflict, Gone, Missing
from tests.plugins.gpu_pool.asking import PATIENCE_S, kept, live, node, overlaps, oversubscribed, release, renew, report, submit
from tests.waiting import until

WHOLE = Ask(gpus=1)


def test_what_is_granted_is_in_the_database_when_the_answer_comes(database, start):
    broker = start(database)
    report(broker, 1, node())
    row = submit(broker, "a", WHOLE).result(PATIENCE_S)
    (lease,) = kept(database)
    assert (row["state"], row["lease"]["id"], row["lease"]["token"]) == ("GRANTED", lease.id, lease.token)


def test_a_new_broker_goes_on_where_the_last_one_ended(database, start):
    first = start(database)
    report(first, 1, node(gpus=1))
    held = submit(first, "a", WHOLE).result(PATIENCE_S)["lease"]
    before = submit(first, "b", WHOLE).result(PATIENCE_S)
    shown = first.look(lambda view: (view.inventory()["nodes"], view.quotas())).result(PATIENCE_S)
    first.stop()
    second = start(database)
    assert second.look(lambda view: (view.inventory()["nodes"], view.quotas())).result(PATIENCE_S) == shown
    release(second, held).result(PATIENCE_S)
    after = submit(second, "b", WHOLE).result(PATIENCE_S)
    assert (after["id"], after["submitted_at"], after["state"]) == (before["id"], before["submitted_at"], "GRANTED")
    assert after["lease"]["token"] > held["token"], "tokens go on from where they were"


def test_what_one_broker_does_the_other_one_sees_at_its_next_question(database, start):
    one, other = start(database), start(database)
    report(one, 1, node(gpus=1))
    held = submit(one, "a", WHOLE).result(PATIENCE_S)["lease"]
    assert [lease.id for lease in live(other)] == [held["id"]]
    release(other, held).result(PATIENCE_S)
    assert live(one) == []
    with pytest.raises((Gone, Missing)):
        renew(one, held).result(PATIENCE_S)


def test_an_idle_broker_ends_what_has_fallen_silent_by_itself(database, start):
    broker = start(database, lease_ttl_s=0.3)
    report(broker, 1, node())
    submit(broker, "a", WHOLE).result(PATIENCE_S)
    until(lambda: [lease.end for lease in kept(database)] == ["expired"])


def test_a_heartbeat_at_one_broker_counts_at_the_other(database, start):
    """Both end what is silent: neither may end what the other one has heard of."""
    one, other = (start(database, waiting_ttl_s=2.0, lease_ttl_s=2.0) for _ in range(2))
    report(one, 1, node(gpus=1))
    held = submit(one, "a", WHOLE).result(PATIENCE_S)["lease"]
    waits = submit(one, "b", WHOLE).result(PATIENCE_S)
    for beat in range(12):
        time.sleep(0.4)  # the time that passes is what is tested: each hears nothing for longer than their patience
        broker = (one, other)[beat // 6]
        renew(broker, held).result(PATIENCE_S)
        broker.change(lambda pool, now: pool.touch(now, waits["id"]), lambda view, _: None).result(PATIENCE_S)


def test_one_error_in_a_batch_does_not_touch_the_others(database, start):
    broker = start(database)
    report(broker, 1, node(gpus=2))
    lock = threading.Event()
    broker.look(lambda view: lock.wait(PATIENCE_S))  # what comes meanwhile is one batch
    wrong = broker.change(lambda pool, now: pool.renew(now, "0" * 32, 1), lambda view, _: None)
    broke = broker.change(lambda pool, now: pool.nodes["gpu-a"].nonsense, lambda view, _: None)
    right = [submit(broker, key, WHOLE) for key in "ab"]
    lock.set()
    with pytest.raises(Missing):
        wrong.result(PATIENCE_S)
    with pytest.raises(Broken):
        broke.result(PATIENCE_S)
    assert [one.result(PATIENCE_S)["state"] for one in right] == ["GRANTED", "GRANTED"]


def test_an_operation_that_breaks_half_way_leaves_nothing_behind(database, start):
    broker = start(database)
    report(broker, 1, node(gpus=1))

    def half(pool, now):
        pool.submit(now, "a", "olaf", WHOLE)
        raise ZeroDivisionError

    with pytest.raises(Broken):
        broker.change(half, lambda view, _: None).result(PATIENCE_S)
    assert live(broker) == [] and kept(database) == []
    assert submit(broker, "b", WHOLE).result(PATIENCE_S)["state"] == "GRANTED"


def test_a_database_that_is_away_is_said_and_promises_nothing(database, start):
    broker = start(database)
    report(broker, 1, node(gpus=1))
    rename(database, "updraft_gpu_lease", "away")
    with pytest.raises(ComponentError):
        submit(broker, "a", WHOLE).result(PATIENCE_S)
    rename(database, "away", "updraft_gpu_lease")
    assert live(broker) == []
    assert submit(broker, "b", WHOLE).result(PATIENCE_S)["state"] == "GRANTED"


def test_reports_of_one_reporter_are_taken_in_order_by_whichever_broker(database, start):
    one, other = start(database), start(database)
    report(one, 5, node(gpus=1))
    with pytest.raises(Conflict):
        report(other, 5, node(gpus=1))
    with pytest.raises(Conflict):
        report(other, 4, node(gpus=1))
    report(other, 6, node(gpus=3))
    assert one.look(lambda view: len(view.pool.nodes["gpu-a"].devices)).result(PATIENCE_S) == 3


def test_a_device_that_vanishes_ends_its_lease_and_the_request_waits_again(database, start):
    broker = start(database)
    report(broker, 1, node(gpus=1))
    row = submit(broker, "a", WHOLE).result(PATIENCE_S)
    report(broker, 2, node(gpus=1, failed="Xid 79"))
    with pytest.raises(Gone, match="lost"):
        renew(broker, row["lease"]).result(PATIENCE_S)
    again = broker.look(lambda view: view.request(view.pool.requests[row["id"]], "olaf")).result(PATIENCE_S)
    assert (again["state"], again["preemptions"], again["position"]) == ("WAITING", 1, 1)
    assert "failed" in again["note"]


ASKS = st.one_of(
    st.integers(1, 2).map(lambda gpus: Ask(gpus=gpus)),
    st.integers(50, 999).map(lambda milli: Ask(fraction=milli / 1000)),
    st.integers(1, 80 * 1024).map(lambda mib: Ask(memory_mib=mib)),
)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(asks=st.lists(ASKS, min_size=20, max_size=20), keep=st.integers(1, 9))
def test_a_thousand_concurrent_acquires_never_oversubscribe_a_device(new_database, asks, keep):
    """Twice five hundred, straight at two brokers on one database, by many threads; one in ``keep`` keeps what it got, the others give it
    back."""
    from gpu_pool.broker import Broker
    from gpu_pool.db.models import Base
    from gpu_pool.db.store import Store
    from include.pool.pool import Pool

    url = new_database()
    stores = [Store(url), Store(url)]
    Base.metadata.create_all(stores[0].engine)
    brokers = [Broker(store, Pool) for store in stores]
    for broker in brokers:
        broker.start()
    report(brokers[0], 1, node("gpu-a", 8), node("gpu-b", 4, sharing=""), reporter="both")

    def acquire(number: int) -> None:
        row = submit(brokers[number % 2], f"k{number}", asks[number % len(asks)]).result(PATIENCE_S)
        if row["lease"] and number % 10 >= keep:
            release(brokers[number // 2 % 2], row["lease"]).result(PATIENCE_S)

    try:
        with ThreadPoolExecutor(32) as threads:
            for done in [threads.submit(acquire, number) for number in range(500)]:
                done.result(PATIENCE_S)
        leases = kept(url)
        assert len(leases) > 12
        assert oversubscribed(leases) == {}
        assert overlaps(leases) == []
        assert len({lease.token for lease in leases}) == len(leases), "no fencing token is given twice"
    finally:
        for broker in brokers:
            broker.stop()


def rename(url: str, table: str, to: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {to}"))
    engine.dispose()
