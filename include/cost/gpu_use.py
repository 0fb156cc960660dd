"""What a lease took, as far as its price goes: so much of which GPU, from when to when, and for whom. Pure.

A share counts as the share it is; a MIG instance as its compute slices of seven or its memory slices of eight, whichever is more: what it
takes is nobody else's. A lease is counted from its grant to its end, used or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from include.pool import mig, mig_cuts
from include.pool.state import Grant, Lease, Node, Request
from include.spec.names import DAG_ENDS

HOUR_S = 3600.0
MEMORY_SLICES = 8
"""Of a GPU in MIG mode (NVIDIA's MIG user guide)."""
REVISION = "revision/"
"""What the keys of served revisions begin with."""
SHARED = "base"
"""In the place of the model, of a server that several models' revisions share."""


@dataclass(frozen=True)
class GpuUse:
    """A lease's hold on GPUs of one model. ``gpus`` in whole GPUs (0.3: a share), ``ended`` None while it lives.

    ``simulated``: the GPU is declared in a file, and costs nothing.
    """

    lease_id: str
    part: int
    key: str
    holder: str
    team: str
    gpu: str
    gpus: float
    spot: bool
    simulated: bool
    began: float
    ended: float | None

    def hours(self, begin: float, end: float, now: float) -> float:
        """Return the GPU-hours of it that lie between two times; a live lease counts up to ``now``."""
        until = min(end, now if self.ended is None else self.ended)
        return self.gpus * max(0.0, until - max(begin, self.began)) / HOUR_S


@dataclass(frozen=True)
class Work:
    """Whose work a lease did: ``model`` empty for a DAG that is no model's, ``run`` for a served revision, which ``what`` then names."""

    model: str
    run: str
    what: str


def work_of(key: str) -> Work:
    """Tell what a request's key says: ``digits_lifecycle/<run>/train/-1``, ``revision/digits/2``, or whatever a caller chose."""
    if key.startswith(REVISION):
        model, _, version = key.removeprefix(REVISION).rpartition("/")
        return Work("", "", "shared server") if model == SHARED else Work(model, "", f"serving, version {version}")
    dag, *parts = key.split("/")
    model = next((dag.removesuffix(end) for end in DAG_ENDS if parts and dag.endswith(end) and dag != end), "")
    if len(parts) < 3:  # a caller's own name, or one that was too long and was cut
        return Work(model, "", key)
    return Work(model, f"{dag}/{'/'.join(parts[:-2])}", parts[-2])


def uses(lease: Lease, request: Request, nodes: Mapping[str, Node], is_spot: Callable[[Mapping[str, str]], bool]) -> list[GpuUse]:
    """Return what a lease takes, by GPU model and rate. A node that isn't known any more is taken to be real and on demand."""
    found: dict[tuple[str, bool, bool], float] = {}
    for grant in lease.grants:
        node = nodes.get(grant.node)
        kind = (gpu_of(grant), node is not None and is_spot(node.labels), node is not None and node.simulated)
        found[kind] = found.get(kind, 0.0) + gpus_of(grant)
    return [
        GpuUse(
            lease.id,
            part,
            request.key,
            request.holder,
            request.ask.team,
            gpu,
            round(gpus, 6),
            spot,
            simulated,
            lease.granted_at,
            lease.ended_at,
        )
        for part, ((gpu, spot, simulated), gpus) in enumerate(sorted(found.items()))
    ]


def gpu_of(grant: Grant) -> str:
    """Return the GPU's short name, without the profile of a MIG instance of it."""
    return grant.model.rpartition(" ")[0] if _profile(grant) else grant.model


def gpus_of(grant: Grant) -> float:
    """Return how much of whole GPUs a grant takes."""
    profile = _profile(grant)
    share = grant.milli / 1000
    if profile:
        place = mig_cuts.table(gpu_of(grant)).get(profile.partition("+")[0])
        memory = place.size / MEMORY_SLICES if place else 0.0
        share *= max(mig.slices(profile) / mig.SLICES, memory)
    return len(grant.uuids) * share


def _profile(grant: Grant) -> str:
    _, _, last = grant.model.rpartition(" ")
    return last if last != grant.model and mig.memory_mib(last) else ""
