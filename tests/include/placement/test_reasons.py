"""Why a request was not placed, and what the nearest possible one is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from include.errors import InputError
from include.placement.filters import explained
from include.placement.fleet import Fleet
from include.placement.impossible import nearest_possible
from include.placement.node import Device, Node
from include.placement.placer import place
from include.placement.policies import BestFit
from include.placement.workload import Workload
from include.verdict import Decision, Verdict
from tests.include.placement.clusters import clusters, node, requests


def refusal(request: Workload, *nodes: Node) -> tuple[str, ...]:
    refused = place(request, nodes, BestFit()).refusal
    assert refused is not None
    return refused.reasons


def test_a_missing_label_is_named() -> None:
    assert refusal(Workload(gpus=1, labels=(("zone", "b"),)), node("n0", zone="a")) == ("labels: 1 node without zone=b",)


def test_models_that_are_there_and_those_wanted_are_named() -> None:
    assert refusal(Workload(gpus=1, models=frozenset({"H100"})), node("n0"), node("n1")) == ("model: 2 nodes with T4 16 GiB, not H100",)


def test_too_few_whole_gpus_names_the_node_with_most() -> None:
    assert refusal(Workload(gpus=4), node("n0", 2), node("n1", 3)) == ("devices: 2 nodes with under 4 whole GPUs free; most is 3 on n1",)


def test_gpus_of_two_nodes_are_never_combined() -> None:
    assert place(Workload(gpus=4), [node("n0", 2), node("n1", 2)], BestFit()).grant is None


def test_too_little_of_one_gpu_names_the_most_free() -> None:
    half = Node("n0", 32000, 65536, (Device("a", "T4", 16384, 300), Device("b", "T4", 16384, 450)))
    assert refusal(Workload(milli=500), half) == ("devices: 1 node with no GPU 50 % free; most is 45 % on n0",)


def test_cpu_and_memory_short_are_told_apart_node_by_node() -> None:
    reasons = refusal(Workload(gpus=1, cpu_milli=8000, memory_mib=4096), node("n0", cpu=4000), node("n1", memory=2048))
    assert reasons == (
        "cpu: 1 node with under 8 CPUs free; most is 4.0 on n0",
        "memory: 1 node with under 4 GiB of memory free; most is 2.0 on n1",
    )


def test_a_share_by_memory_takes_its_part_of_the_device_and_skips_unknown_sizes() -> None:
    request = Workload(gpu_memory_mib=4096)
    grant = place(request, [node("n0", gpu_memory=0), node("n1", gpu_memory=16384)], BestFit()).grant
    assert grant is not None and (grant.node, grant.milli) == ("n1", 250)


@given(clusters(), requests())
@settings(max_examples=100, deadline=None)
def test_every_node_is_kept_or_accounted_for_by_one_reason(nodes: list[Node], request: Workload) -> None:
    fleet = Fleet(nodes)
    kept, reasons = explained(fleet, fleet.ask(request))
    told = sum(int(reason.split(": ")[1].split(" node")[0]) for reason in reasons)
    assert len(kept) + told == len(nodes)


@given(clusters(), requests())
@settings(max_examples=150, deadline=None)
def test_the_nearest_possible_request_can_be_placed_and_is_given_only_where_needed(nodes: list[Node], request: Workload) -> None:
    placement = place(request, nodes, BestFit(), capacity=nodes)
    if placement.refusal is None:
        assert nearest_possible(request, nodes) is None
        return
    nearest = placement.refusal.nearest
    if nearest is None:
        assert request.devices and not any(n.devices and (n.kind[1] or not request.gpu_memory_mib) for n in nodes)
        return
    assert place(nearest, nodes, BestFit()).grant is not None
    assert nearest.gpus <= request.gpus and nearest.cpu_milli <= request.cpu_milli and nearest.gpu_memory_mib <= request.gpu_memory_mib


def test_what_is_only_busy_is_not_called_impossible() -> None:
    busy = Node("n0", 32000, 65536, (Device("a", "T4", 16384, 300),))
    refused = place(Workload(gpus=1), [busy], BestFit(), capacity=[node("n0", 1)]).refusal
    assert refused is not None and refused.reasons and refused.nearest is None


def test_too_many_gpus_for_any_node_gives_the_largest_node() -> None:
    request = Workload(gpus=16, cpu_milli=1000)
    nodes = [node("n0", 2), node("n1", 4)]
    refused = place(request, nodes, BestFit(), capacity=nodes).refusal
    assert refused is not None and refused.nearest == replace(request, gpus=4)


def test_a_verdict_says_where_or_why_and_survives_json() -> None:
    nodes = [node("n0", 2)]
    placed = place(Workload(milli=250), nodes, BestFit()).verdict()
    refused = place(Workload(gpus=3), nodes, BestFit(), capacity=nodes).verdict()
    assert (placed.decision, placed.reasons) == (Decision.PASS, ("Placed on n0 GPU 0 (25 % of it).",))
    assert refused.decision is Decision.FAIL
    assert refused.reasons[-1] == "It can never be placed here. The nearest that could: gpus=2."
    assert Verdict.from_json(refused.to_json()).reasons == refused.reasons


def test_no_nodes_is_a_refusal_not_a_fault() -> None:
    assert place(Workload(gpus=1), [], BestFit()).verdict().reasons == ("There are no nodes.",)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gpus": -1}, "request: gpus is -1"),
        ({"gpus": 1, "milli": 500}, "in more than one way"),
        ({"milli": 1000}, "milli is 1000"),
    ],
)
def test_a_bad_request_is_explained(fields: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Workload(**fields)


def test_bad_nodes_are_explained() -> None:
    with pytest.raises(InputError, match="free_milli is 1200"):
        Device("a", "T4", free_milli=1200)
    with pytest.raises(InputError, match="several kinds"):
        Node("n0", 1, 1, (Device("a", "T4"), Device("b", "A10")))
    with pytest.raises(InputError, match="same name"):
        Fleet([node("n0"), node("n0")])
