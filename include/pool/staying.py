"""What placement is told of leases over time: of what kind their work is, since when they are held, and when that should end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.placement.policies import Policy
from include.placement.stays import Stay
from include.pool.sizes import work_of
from include.pool.state import Lease, Request

if TYPE_CHECKING:
    from include.pool.space import Part

Kind = tuple[str, str]
"""Team, and the work behind the request's key: a task of a DAG whatever the run, a model's revisions whatever the version."""
BY_ITSELF = "released"
"""The end of a lease whose work was done. Whoever was stopped, or lost, would have stayed longer."""


@dataclass(frozen=True)
class Expected:
    """``ends``: by its holder's word or a notice; infinite for one without end; None if nobody says."""

    kind: Kind
    ends: float | None


def kind_of(request: Request) -> Kind:
    return request.ask.team, work_of(request.key)


def expected(lease: Lease, request: Request) -> Expected:
    ask = request.ask
    said = math.inf if ask.endless else None if ask.duration_s is None else lease.granted_at + ask.duration_s
    return Expected(kind_of(request), said if lease.notice is None else lease.notice.deadline)


class Staying:
    """Every live lease with what is expected of it, told to ``policy``. ``parts_of``: the parts of a node, as placement knows them now."""

    def __init__(self, policy: Policy, parts_of: Callable[[str], Iterable[Part]]) -> None:
        self._policy, self._parts_of = policy, parts_of
        self._of: dict[str, tuple[Lease, Expected]] = {}
        self._now = 0.0

    def restart(self, leases: Iterable[tuple[Lease, Expected]]) -> None:
        self._of = {lease.id: (lease, known) for lease, known in leases}

    def expect(self, now: float, lease: Lease, known: Expected) -> None:
        """A lease begins, or is expected to end at another time than before; said before it is booked."""
        self._now = now
        self._of[lease.id] = lease, known
        self._tell(lease, known)

    def over(self, now: float, lease: Lease, *, requeued: bool) -> None:
        """A lease ends; said before its devices come free."""
        self._now = now
        self._of.pop(lease.id, None)
        for number in range(len(lease.grants)):  # a gang's work has ended once
            self._policy.over((lease.id, number), now, by_itself=number == 0 and lease.end == BY_ITSELF and not requeued)

    def recall(self, lease: Lease, request: Request) -> None:
        """One that has ended long ago."""
        if lease.ended_at is not None:
            self._policy.recall(kind_of(request), max(0.0, lease.ended_at - lease.granted_at), by_itself=lease.end == BY_ITSELF)

    def tell_all(self) -> None:
        """To the policy, which has just been attached to the fleet."""
        for lease, known in self._of.values():
            self._tell(lease, known)

    def _tell(self, lease: Lease, known: Expected) -> None:
        for number, stay in enumerate(self._stays(lease, known)):
            self._policy.begun((lease.id, number), stay, self._now)

    def _stays(self, lease: Lease, known: Expected) -> Iterator[Stay]:
        for grant in lease.grants:
            for part in self._parts_of(grant.node):
                indexes = tuple(at for at, device in enumerate(part.devices) if device.uuid in grant.uuids)
                if indexes:
                    yield Stay(part.name, indexes, grant.milli, known.kind, lease.granted_at, known.ends)
