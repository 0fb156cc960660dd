"""What leases took is kept with its first and its last moment, whatever becomes of node and server meanwhile."""

from dataclasses import replace

from sqlalchemy import create_engine

from gpu_pool.db.uses import between
from include.pool.ask import Ask
from include.prices.table import defaults
from tests.plugins.gpu_pool.asking import PATIENCE_S, kept, node, release, renew, report, submit


def uses(url, begin=0.0, end=1e12):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = between(connection, begin, end)
    engine.dispose()
    return found


def test_a_lease_is_counted_from_its_grant_to_its_end(database, start):
    broker = start(database)
    report(broker, 1, node())
    held = submit(broker, "revision/digits/2", Ask(fraction=0.3, team="vision")).result(PATIENCE_S)["lease"]
    [live] = uses(database)
    assert (live.key, live.team, live.holder, live.gpu, live.gpus) == ("revision/digits/2", "vision", "olaf", "H100-80GB", 0.3)
    assert live.simulated and live.ended is None
    renew(broker, held).result(PATIENCE_S)
    release(broker, held).result(PATIENCE_S)
    [lease], [ended] = kept(database), uses(database)
    assert (ended.began, ended.ended) == (lease.granted_at, lease.ended_at)


def test_a_lease_that_goes_back_to_the_queue_leaves_one_use_for_each_turn(database, start):
    broker = start(database)
    report(broker, 1, node())
    held = submit(broker, "a", Ask(gpus=1)).result(PATIENCE_S)["lease"]
    release(broker, held, requeue=True).result(PATIENCE_S)
    submit(broker, "a", Ask(gpus=1)).result(PATIENCE_S)
    assert sorted(use.ended is None for use in uses(database)) == [False, True]


def test_a_node_that_is_gone_at_the_end_was_simulated_all_the_same(database, start):
    broker = start(database)
    report(broker, 1, node())
    submit(broker, "a", Ask(gpus=2)).result(PATIENCE_S)
    broker.change(lambda pool, now: pool.remove_node(now, "gpu-a", "anna"), lambda view, _: None).result(PATIENCE_S)
    [use] = uses(database)
    assert use.simulated and use.ended is not None and use.gpus == 2


def test_what_a_lease_took_on_two_nodes_ends_with_it_whatever_their_rates_are_by_then(database, start):
    broker = start(database)
    spot = next(iter(defaults().spot.labels.items()))
    report(broker, 1, node("gpu-a", gpus=1), replace(node("gpu-b", gpus=1), labels=dict([spot])))
    held = submit(broker, "a", Ask(gpus=1, nodes=2)).result(PATIENCE_S)["lease"]
    assert sorted(use.spot for use in uses(database)) == [False, True]
    report(broker, 2, node("gpu-a", gpus=1), node("gpu-b", gpus=1))  # it has lost its label
    release(broker, held).result(PATIENCE_S)
    assert [(use.gpus, use.ended is None) for use in uses(database)] == [(1, False), (1, False)]


def test_only_what_lived_between_two_times_is_found(database, start):
    broker = start(database)
    report(broker, 1, node())
    held = submit(broker, "a", Ask(gpus=1)).result(PATIENCE_S)["lease"]
    release(broker, held).result(PATIENCE_S)
    [use] = uses(database)
    assert uses(database, end=use.began) == [] and uses(database, begin=use.ended) == []
