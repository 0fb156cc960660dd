"""MIG on demand: whose GPU is cut anew, and into what, for a request that finds no instance of its profile.

Only idle instances go: none that is leased, kept for somebody, or has a process. The node's agent does it (its answer to a report tells it
what); the pool sees in the next reports that it is done. Whatever dies on the way, the instances that are there are the ones reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from include.placement.node import FULL
from include.pool import mig_cuts
from include.pool.ask import Ask
from include.pool.ledger import Ledger
from include.pool.mig_cuts import Instance
from include.pool.space import Space, Spot
from include.pool.state import RECUT_LABEL, Device, GpuCut, Node, Request

PATIENCE_S = 120.0
"""A cut that isn't done after so long has failed. Destroying and creating instances takes a driver seconds."""
CLUSTER = "kubernetes"
"""Nodes of this source are cut as a whole: the GPU Operator's MIG manager takes a named configuration of all GPUs of a node, and nothing
may run on it meanwhile (its documentation, "GPU Operator with MIG")."""
GPU_COUNT = "nvidia.com/gpu.count"
PAUSE_S = 600.0
"""After a failure the GPU is left alone for so long."""


def cut(ledger: Ledger, now: float, request: Request, queue: Sequence[Request], kept: frozenset[Spot]) -> str:
    """Plan the cut that costs least, unless one is under way for the request. Return the node's name, "" if no cut would make room."""
    ask = request.ask
    under_way = next((node.name for node in ledger.nodes.values() for one in node.cuts if _is_for(one, request)), "")
    if under_way or ask.nodes > 1:
        return under_way
    if coming := _coming(ledger, request, queue):
        return coming
    behind = [other.ask.mig for other in queue if other.id != request.id for _ in range(other.ask.gpus)][: mig_cuts.MOST_AHEAD]
    options: list[tuple[tuple[int, ...], str, str, GpuCut]] = []
    for node in _nodes(ask, ledger.space):
        if node.source == CLUSTER:
            whole = _whole_node(ledger.space, now, node, ask, kept)
            options += [((len(behind), 0, len(whole.destroy)), node.name, "", whole)] if whole is not None else []
            continue
        idle_elsewhere = _idle_by_gpu(ledger.space, node, ask.mig, kept)
        for parent, devices in _gpus(node).items():
            count = ask.gpus - sum(number for gpu, number in idle_elsewhere.items() if gpu != parent)
            found = _plan(ledger.space, now, node, parent, devices, ask, max(count, 1), behind, kept)
            if found is not None:
                options.append((found[1], node.name, parent, found[0]))
    if not options:
        return ""
    _, name, parent, plan = min(options, key=lambda option: option[:3])
    _ask_for(ledger, now, ledger.nodes[name], parent, plan, request)
    return name


def _coming(ledger: Ledger, request: Request, queue: Sequence[Request]) -> str:
    """The node where cuts that are under way make enough of its instances for it too, besides those who stand before it."""
    profile, coming = request.ask.mig, Counter[str]()
    for node in _nodes(request.ask, ledger.space):
        coming[node.name] = sum(made == profile for one in node.cuts if not one.failed for made, _ in one.create)
    before = takewhile(lambda other: other.id != request.id, queue)
    wanted = sum(other.ask.gpus for other in before if other.ask.mig == profile) + request.ask.gpus
    return coming.most_common(1)[0][0] if coming.total() >= wanted else ""


def _is_for(one: GpuCut, request: Request) -> bool:
    return one.request_id == request.id and not one.failed


def _nodes(ask: Ask, space: Space) -> Iterator[Node]:
    """Those that may be cut and bear the labels that it wants, whether in service or not."""
    for name in space.parts_of:
        labels = space.labels(name)
        if labels.get(RECUT_LABEL) == "true" and all(labels.get(key) == value for key, value in ask.labels):
            yield space.node(name)


def _gpus(node: Node) -> dict[str, list[Device]]:
    """Its GPUs that are cut, by uuid, with their instances."""
    found: dict[str, list[Device]] = {}
    for device in node.devices:
        if device.mig and device.parent:
            found.setdefault(device.parent, []).append(device)
    return found


def _idle_by_gpu(space: Space, node: Node, profile: str, kept: frozenset[Spot]) -> dict[str, int]:
    found: dict[str, int] = {}
    for device in node.devices:
        spot = (node.name, device.uuid)
        if device.mig == profile and spot not in kept and space.free(spot) == FULL:
            found[device.parent] = found.get(device.parent, 0) + 1
    return found


def _plan(
    space: Space,
    now: float,
    node: Node,
    parent: str,
    devices: Sequence[Device],
    ask: Ask,
    count: int,
    queue: Sequence[str],
    kept: frozenset[Spot],
) -> tuple[GpuCut, tuple[int, ...]] | None:
    """For one GPU; ``until`` and the request are filled in later."""
    model = devices[0].model
    if node.lost or node.cordoned or any(one.parent == parent and (not one.failed or now < one.until) for one in node.cuts):
        return None
    if (ask.models and model not in ask.models) or any(device.failed or not device.first_slice for device in devices):
        return None
    places = {Instance(device.first_slice - 1, device.mig): device for device in devices}
    idle = [at for at, device in places.items() if _is_idle(space, node, device, kept)]
    found = mig_cuts.cut(model, [at for at in places if at not in idle], idle, ask.mig, count, queue)
    if found is None or not found[0].create:
        return None
    plan, cost = found
    destroy = tuple(places[one].uuid for one in plan.destroy)
    return GpuCut(parent, destroy, tuple((one.profile, one.start + 1) for one in plan.create), "", 0.0), cost


def _whole_node(space: Space, now: float, node: Node, ask: Ask, kept: frozenset[Spot]) -> GpuCut | None:
    """All GPUs of an idle node into as many instances of the profile as they hold; only of a node that is in MIG mode already."""
    models = {device.model for device in node.devices}
    if node.lost or node.cordoned or any(not one.failed or now < one.until for one in node.cuts):
        return None
    if not node.devices or not all(device.mig and not device.failed and _is_idle(space, node, device, kept) for device in node.devices):
        return None
    most = min((_most(model, ask.mig) for model in models), default=0) * _gpu_count(node)
    if most < ask.gpus or (ask.models and not models <= set(ask.models)):
        return None
    return GpuCut("", tuple(device.uuid for device in node.devices), ((ask.mig, 0),) * most, "", 0.0)


def _most(model: str, profile: str) -> int:
    return len(mig_cuts.served(mig_cuts.table(model), (), [profile] * mig_cuts.MOST_AHEAD))


def _gpu_count(node: Node) -> int:
    said = node.labels.get(GPU_COUNT, "")
    return int(said) if said.isdecimal() and said.isascii() and len(said) < 4 else 1


def _is_idle(space: Space, node: Node, device: Device, kept: frozenset[Spot]) -> bool:
    spot = (node.name, device.uuid)
    return spot not in kept and spot not in space.leased and not device.processes and space.free(spot) == FULL


def _ask_for(ledger: Ledger, now: float, node: Node, parent: str, plan: GpuCut, request: Request) -> None:
    others = tuple(one for one in node.cuts if one.parent != parent)
    node.cuts = (*others, replace(plan, request_id=request.id, until=now + PATIENCE_S))
    ledger.space.node_changed(node.name)
    ledger.touched(node)
    number = Counter(profile for profile, _ in plan.create)
    made = ", ".join(f"{count} x {profile}" for profile, count in number.items())
    text = f"{'A GPU' if parent else 'Each GPU'} of {node.name} is cut anew for {request.key}: {made} in place of {len(plan.destroy)} idle."
    ledger.event(now, "cut", text, node=node.name)


def look(ledger: Ledger, now: float, node: Node) -> None:
    """A report has come: what is done, and what was never done."""
    left = []
    for one in node.cuts:
        if one.failed:
            left += [one] if now < one.until else []
        elif _is_done(node, one):
            ledger.event(now, "cut", f"A GPU of {node.name} has been cut anew.", node=node.name)
        elif now >= one.until:
            left.append(replace(one, failed=True, until=now + PAUSE_S))
            ledger.event(
                now, "cut_failed", f"{node.name} did not cut its GPU anew within {PATIENCE_S:g} s: see its agent's log.", node=node.name
            )
        else:
            left.append(one)
    if tuple(left) != node.cuts:
        node.cuts = tuple(left)
        ledger.space.node_changed(node.name)
        ledger.dirty = True


def _is_done(node: Node, one: GpuCut) -> bool:
    there = {(device.mig, device.first_slice) for device in node.devices if device.parent == one.parent}
    return set(one.create) <= there and not {device.uuid for device in node.devices}.intersection(one.destroy)


def could(ask: Ask, space: Space) -> bool:
    """Whether GPUs that may be cut could hold so many instances of the profile with nothing on them: one GPU, of a cluster one node."""
    if not ask.mig or ask.nodes > 1:
        return False
    return any(
        _most(device.model, ask.mig) * (_gpu_count(node) if node.source == CLUSTER else 1) >= ask.gpus
        for node in _nodes(ask, space)
        for device in node.devices
        if device.mig and (device.parent or node.source == CLUSTER) and (not ask.models or device.model in ask.models)
    )
