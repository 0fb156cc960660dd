"""What work has used of what it asked for, and what it should ask for next time. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from include.placement.node import FULL
from include.pool.ask import Ask
from include.pool.state import Lease, Request

LEASES = 3
"""From fewer leases nothing is proposed: one short run says little."""
LATEST = 20
"""So many of a work's latest leases count."""
ROOM = 1.15
"""What is proposed is so many times the most that was seen: allocators keep blocks, and data differ."""
WORTH = 0.7
"""A smaller size is proposed where it is at most so much of what was granted."""
TIGHT = 0.95
"""Who has used so much of its part of a shared GPU may run out of it next time."""
GIB = 1024


@dataclass(frozen=True)
class Used:
    """Some work's leases of one size, by one device of each: ``granted_mib`` is what it had there, ``peak_mib`` the most it used.

    ``proposed_mib`` is what to ask for instead (None: leave it as it is), ``proposal`` the sentence.
    """

    work: str
    team: str
    size: str
    leases: int
    granted_mib: int
    peak_mib: int
    proposed_mib: int | None
    proposal: str


def work_of(key: str) -> str:
    """The work behind a request's key: a task of a DAG whatever the run (``dag/task``), a model's revisions whatever the version."""
    parts = key.split("/")
    if parts[0] == "revision" and len(parts) == 3:
        return f"revision/{parts[1]}"
    return f"{parts[0]}/{parts[2]}" if len(parts) in (3, 4) else key


def sizes(leases: Iterable[tuple[Lease, Request | None]]) -> list[Used]:
    """What each work has used under its latest size, those that waste most first. Leases of unknown use, or of nobody, are left out."""
    found: dict[str, list[tuple[Lease, Request]]] = defaultdict(list)
    for lease, request in leases:
        if request is not None and lease.peak_mib is not None:
            found[work_of(request.key)].append((lease, request))
    used = [_used(work, sorted(known, key=lambda one: -one[0].granted_at)) for work, known in found.items()]
    return sorted(used, key=lambda one: ((one.proposed_mib or one.granted_mib) - one.granted_mib, one.work))


def _used(work: str, known: list[tuple[Lease, Request]]) -> Used:
    ask = known[0][1].ask
    alike = [lease for lease, request in known if request.ask.shape == ask.shape][:LATEST]
    granted = min(grant.memory_mib for grant in alike[0].grants)
    peak = max(lease.peak_mib or 0 for lease in alike)
    part = any(grant.milli < FULL for grant in alike[0].grants)
    proposed, proposal = _proposal(ask, part, len(alike), granted, peak)
    return Used(work, ask.team, ask.size(), len(alike), granted, peak, proposed, proposal)


def _proposal(ask: Ask, part: bool, leases: int, granted: int, peak: int) -> tuple[int | None, str]:
    if leases < LEASES:
        return None, f"Too few leases to say: {leases} of {LEASES}."
    need = math.ceil(peak * ROOM / GIB) * GIB
    if part and peak >= TIGHT * granted:
        return need, f"It is close to its part: ask for `memory: {need // GIB}GiB`."
    if granted and need <= WORTH * granted:
        several = f" of each of {ask.gpus} GPUs, or for fewer GPUs" if ask.gpus > 1 and not ask.mig else ""
        how = f"a profile of {need // GIB} GiB" if ask.mig else f"{need // GIB} GiB{several}" if several else f"`memory: {need // GIB}GiB`"
        return need, f"It could ask for {how}."
    return None, "It asks for what it needs."
