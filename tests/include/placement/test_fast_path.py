"""The incremental, vectorised path makes the choices that plain loops make."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.placement.mix import Mix
from include.placement.node import Node
from include.placement.placement import Grant
from include.placement.placer import Placer
from include.placement.policies import FGD, BestFit, Policy, Random, Updraft
from include.placement.workload import Workload
from tests.include.placement import reference
from tests.include.placement.clusters import clusters, workloads
from tests.include.placement.reference import State

Score = Callable[[State, State], float]


def states(nodes: list[Node]) -> dict[str, State]:
    return {n.name: State(n.name, n.cpu_milli, n.memory_mib, *n.kind, [device.free_milli for device in n.devices]) for n in nodes}


def replay(nodes: list[Node], workload: list[Workload], policy: Policy, score: Callable[[], Score]) -> None:
    """Place one after the other; each time the choice must score as the best of all places does in plain loops."""
    plain, placer = states(nodes), Placer(nodes, policy)
    for request in workload:
        grant = placer.place(request).grant
        scored = score()
        options = {
            (state.name, device): scored(state, state.after(request, device))
            for state in plain.values()
            if reference.can_host(state, request)
            for device in reference.places(state, request)
        }
        if grant is None:
            assert not options
            continue
        device = grant.indexes[0] if request.shared else -1
        assert grant.score == pytest.approx(max(options.values()), rel=1e-9, abs=1e-6)
        assert options[grant.node, device] == pytest.approx(grant.score, rel=1e-9, abs=1e-6)
        plain[grant.node] = plain[grant.node].after(request, device)
        row = placer.fleet.row_of[grant.node]
        assert placer.fleet.free[row, : len(plain[grant.node].free)].tolist() == plain[grant.node].free


@given(clusters(), workloads)
@settings(max_examples=60, deadline=None)
def test_fgd_chooses_as_plain_loops_do(nodes: list[Node], workload: list[Workload]) -> None:
    mix = Mix(workload)
    replay(nodes, workload, FGD(mix), lambda: lambda before, after: reference.fgd_score(before, after, mix))


@given(clusters(), workloads)
@settings(max_examples=40, deadline=None)
def test_updraft_chooses_as_plain_loops_do(nodes: list[Node], workload: list[Workload]) -> None:
    policy = Updraft(learned := Mix())

    def score() -> Score:
        known = Mix(learned_at_renewal(policy, learned, workload))
        held = {}

        def value(state: State) -> float:
            key = (state.name, state.cpu, state.memory, tuple(state.free))
            if key not in held:
                held[key] = reference.updraft_value(state, known, policy.openness)
            return held[key]

        return lambda before, after: value(after) - value(before)

    replay(nodes, workload, policy, score)


def learned_at_renewal(policy: Updraft, learned: Mix, workload: list[Workload]) -> list[Workload]:
    """The requests that the policy knew when it last renewed what it learned."""
    return workload[: policy.renewed_at]


@given(clusters(), workloads, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_random_grants_only_what_fits(nodes: list[Node], workload: list[Workload], seed: int) -> None:
    plain, placer = states(nodes), Placer(nodes, Random(seed))
    for request in workload:
        grant = placer.place(request).grant
        can = [state.name for state in plain.values() if reference.can_host(state, request)]
        assert (grant is None) == (not can)
        if grant is not None:
            assert grant.node in can
            plain[grant.node] = plain[grant.node].after(request, grant.indexes[0] if request.shared else -1)
            assert min(plain[grant.node].free, default=0) >= 0


@given(clusters(), workloads)
@settings(max_examples=40, deadline=None)
def test_giving_everything_back_leaves_the_cluster_as_it_was(nodes: list[Node], workload: list[Workload]) -> None:
    placer = Placer(nodes, BestFit())
    before = (placer.fleet.cpu.copy(), placer.fleet.memory.copy(), placer.fleet.free.copy())
    granted: list[tuple[Workload, Grant]] = [(request, grant) for request in workload if (grant := placer.place(request).grant)]
    for request, grant in granted:
        placer.release(request, grant)
    after = (placer.fleet.cpu, placer.fleet.memory, placer.fleet.free)
    assert all((one == other).all() for one, other in zip(before, after, strict=True))
    assert [placer.place(request).grant for request, _ in granted] == [grant for _, grant in granted]
