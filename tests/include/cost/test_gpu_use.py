"""What a lease takes, and whose work it is."""

import pytest

from include.cost.gpu_use import Work, gpus_of, uses, work_of
from include.pool.ask import Ask
from include.pool.state import Grant, Lease, LeaseState, Node, Request, RequestState


def grant(model="H100-80GB", milli=1000, count=1, node="n"):
    return Grant(node, tuple(f"{node}{number}" for number in range(count)), tuple(range(count)), model, milli, 1)


def lease(*grants, ended=None):
    return Lease("l", "r", 1, LeaseState.ACTIVE, grants, 10.0, 20.0, 10.0, ended_at=ended)


def request(team="vision"):
    return Request("r", "digits_lifecycle/run/train/-1", "olaf", Ask(gpus=1, team=team), RequestState.GRANTED, 1.0, 1.0, 1.0)


def node(name="n", source="nvml", **labels):
    return Node(name, name, source, labels, (), 0.0, 1)


@pytest.mark.parametrize(
    ("granted", "gpus"),
    [
        (grant(), 1),
        (grant(count=4), 4),
        (grant(milli=300), 0.3),
        (grant("H100-80GB 1g.10gb"), 1 / 7),
        (grant("H100-80GB 1g.20gb"), 2 / 8),
        (grant("H100-80GB 3g.40gb"), 4 / 8),
        (grant("H100-80GB 7g.80gb"), 1),
        (grant("H100-80GB 1g.10gb+me", count=2), 2 / 7),
        (grant("GB300 2g.60gb"), 2 / 7),
        (grant("RTX 6000"), 1),
    ],
)
def test_a_share_counts_as_itself_and_a_mig_instance_as_the_more_of_its_slices(granted, gpus):
    assert gpus_of(granted) == pytest.approx(gpus)


def test_a_lease_over_several_models_and_rates_is_told_apart():
    spot = node("s", **{"node.kubernetes.io/lifecycle": "spot"})
    nodes = {"n": node(), "s": spot, "d": node("d", "declared")}
    grants = (grant(), grant(node="s", count=2), grant("A100-80GB", node="d"), grant("H100-80GB 1g.10gb", node="gone"))
    found = uses(lease(*grants, ended=30.0), request(), nodes, lambda labels: "node.kubernetes.io/lifecycle" in labels)
    assert [(use.gpu, use.spot, use.simulated) for use in found] == [
        ("A100-80GB", False, True),
        ("H100-80GB", False, False),
        ("H100-80GB", True, False),
    ]
    assert [use.gpus for use in found] == [1, pytest.approx(1 + 1 / 7, abs=1e-6), 2]
    assert [use.part for use in found] == [0, 1, 2] and {(use.team, use.began, use.ended) for use in found} == {("vision", 10.0, 30.0)}


@pytest.mark.parametrize(
    ("key", "work"),
    [
        ("digits_lifecycle/manual__2026/train/-1", Work("digits", "digits_lifecycle/manual__2026", "train")),
        ("mine/a/b/task/3", Work("", "mine/a/b", "task")),
        ("revision/digits/2", Work("digits", "", "serving, version 2")),
        ("revision/base/0f3a", Work("", "", "shared server")),
        ("notebook", Work("", "", "notebook")),
        ("digits_lifecycle/cut-0123", Work("digits", "", "digits_lifecycle/cut-0123")),
        ("_lifecycle/a/b/-1", Work("", "_lifecycle/a", "b")),
    ],
)
def test_a_key_tells_whose_work_it_is(key, work):
    assert work_of(key) == work
