"""What is read from the tables is equal to what was written."""

import pytest
from sqlalchemy import select

from gpu_pool.db import rows
from gpu_pool.db.store import EVENT, LEASE, NODE, QUOTA, REQUEST, Store
from include.errors import InputError
from include.pool.ask import Ask
from include.pool.state import (
    Burst,
    BurstOffer,
    BurstState,
    Device,
    Event,
    GpuCut,
    Grant,
    Lease,
    LeaseState,
    Node,
    Notice,
    Process,
    Quota,
    Request,
    RequestState,
)

CUT = GpuCut("GPU-9", ("MIG-1",), (("3g.40gb", 1), ("1g.10gb", 5)), "a1", 7.5)
BURST = Burst(BurstOffer(2.5, 180.0, True, BurstState.ON, 90.0, "no"), True, 7.5, 7.5, ((1.0, 2.0), (3.0, 4.5)), 9.0, "spot: it goes", 12.0)
AT = 1_795_244_448.1234567
DEVICES = (
    Device(
        "GPU-0",
        0,
        "H100-80GB",
        81_559,
        "mps",
        used_mib=900,
        island="a",
        numa=0,
        processes=(Process(7, "py\u0444", 800, "ab"),),
        readings={"power_w": 71.5},
    ),
    Device("MIG-1", 1, "H100-80GB", 9_984, mig="1g.10gb", parent="GPU-9", first_slice=3, failed="Xid 79"),
)
ASK = Ask(memory_mib=20_480, models=("A100", "H100"), labels=(("zone", "a"),), preemptible=False, duration_s=3.5, grace_s=2.0, ttl_s=9.0)
GRANTS = (Grant("n1", ("a", "b"), (0, 1), "H100", 1000, 81_559), Grant("n2", ("c",), (3,), "H100", 1000, 81_559))
THINGS = [
    (NODE, rows.node_row, rows.node, Node("n/1", "n", "nvml", {"zone": "a"}, DEVICES, AT, 2**60, -3.25, "by hand", True, (CUT,))),
    (NODE, rows.node_row, rows.node, Node("c/1", "c", "burst", {}, DEVICES, AT, 3, burst=BURST)),
    (REQUEST, rows.request_row, rows.request, Request("a1", "k", "olaf", Ask(gpus=2), RequestState.WAITING, AT, AT, AT, ("why",), AT)),
    (
        REQUEST,
        rows.request_row,
        rows.request,
        Request("a2", "k", "o", ASK, RequestState.ENDED, AT, AT, AT, end="expired", ended_at=AT, note="x"),
    ),
    (LEASE, rows.lease_row, rows.lease, Lease("b1", "a1", 2**40, LeaseState.ACTIVE, GRANTS, AT, AT, AT)),
    (
        *(LEASE, rows.lease_row, rows.lease),
        Lease(
            "b2",
            "a1",
            3,
            LeaseState.NOTICED,
            GRANTS,
            AT,
            AT,
            AT,
            AT,
            "a2",
            Notice("preempted", "for c", AT, AT + 1, "a2"),
            saved_at=AT + 0.5,
            peak_mib=71_000,
        ),
    ),
    (QUOTA, rows.quota_row, rows.quota, Quota("vision", 2.5, None, 0.5)),
    (QUOTA, rows.quota_row, rows.quota, Quota("text", 0.0, 7.0)),
]


@pytest.mark.parametrize(("table", "write", "read", "thing"), THINGS, ids=lambda value: getattr(value, "__name__", None) or "")
def test_there_and_back(database, table, write, read, thing):
    store = Store(database)
    for _ in range(2):  # written again it is replaced
        with store.turn() as turn:
            store.put(turn.connection, table, [write(thing)])
    with store.reading() as connection:
        (row,) = connection.execute(select(table)).mappings()
    store.engine.dispose()
    assert read(dict(row)) == thing


def test_events_are_numbered_in_their_order(database):
    store = Store(database)
    with store.turn() as turn:
        turn.connection.execute(EVENT.insert(), [rows.event_row(Event(AT, "granted", text, "n", "a", "b", {"c": 1})) for text in "xyz"])
    with store.reading() as connection:
        found = connection.execute(select(EVENT.c.text, EVENT.c.body).order_by(EVENT.c.id)).all()
    store.engine.dispose()
    assert [tuple(row) for row in found] == [("x", {"c": 1}), ("y", {"c": 1}), ("z", {"c": 1})]


def test_a_database_that_cannot_do_it_is_refused_by_name():
    with pytest.raises(InputError, match="mysql"):
        Store("mysql://nobody@127.0.0.1/x")
