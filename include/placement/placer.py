"""One request after another onto a fleet, fast: scores are kept, and made anew only for nodes that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.placement.filters import explained, fitting
from include.placement.fleet import Fleet, Footprint
from include.placement.impossible import nearest_possible
from include.placement.node import Node
from include.placement.placement import Grant, Placement, Refusal
from include.placement.policies.policy import Policy
from include.placement.workload import Workload

if TYPE_CHECKING:
    from include.placement.fleet import Array


LONGEST_LOG = 100_000
MOST_KEPT = 2_000
"""Bounds on memory for a placer that lives long: past them all scores are made anew. 2,000 requests on 1,200 nodes are about 40 MB."""


@dataclass
class _Scores:
    """Of one distinct request on every node: -inf where it doesn't fit. ``seen`` is how much of the log of changes they know."""

    ask: Footprint
    score: Array
    device: Array
    seen: int
    version: int


class Placer:
    """Places and takes; :meth:`release` gives back. Scores of each distinct request are kept until the policy's ``version`` moves.

    ``nodes`` say what is free now; ``capacity``, where given, the same nodes with nothing on them, to tell "never" from "not now".
    """

    def __init__(self, nodes: Sequence[Node], policy: Policy, capacity: Sequence[Node] = ()) -> None:
        self.capacity = tuple(capacity)
        self.fleet = Fleet(nodes)
        self.policy = policy
        self._kept: dict[Workload, _Scores] = {}
        self._log: list[int] = []
        policy.attach(self.fleet)

    def place(self, request: Workload, *, explain: bool = True) -> Placement:
        """Find the best place and take it. Without ``explain`` a refusal carries no reasons, and costs nothing."""
        self.policy.see(request)
        found = self.best(request)
        if found is None:
            return self._refused(request) if explain else Placement(request, None, Refusal((), None))
        row, device, score = found
        ask = self._kept[request].ask
        devices = self.fleet.devices_for(ask, row, device)
        self.fleet.take(ask, row, devices)
        self._changed(row)
        return Placement(request, _grant(self.fleet, ask, row, devices, score), None)

    def find(self, request: Workload) -> Grant | None:
        """The best place now. Books and learns nothing."""
        found = self.best(request)
        if found is None:
            return None
        row, device, score = found
        ask = self._kept[request].ask
        return _grant(self.fleet, ask, row, self.fleet.devices_for(ask, row, device), score)

    def learn(self, request: Workload) -> None:
        """A request has come, whatever becomes of it; :meth:`place` does this itself."""
        self.policy.see(request)

    def take(self, request: Workload, grant: Grant) -> None:
        """Book what :meth:`find` found."""
        row = self.fleet.row_of[grant.node]
        self.fleet.take(self.fleet.ask(request), row, grant.indexes)
        self._changed(row)

    def release(self, request: Workload, grant: Grant) -> None:
        """Give back what :meth:`place` took."""
        row = self.fleet.row_of[grant.node]
        self.fleet.give(self.fleet.ask(request), row, grant.indexes)
        self._changed(row)

    def renew(self, node: Node) -> None:
        """What is free on that node is now what ``node`` says (a foreign process came or went, a device vanished: free_milli 0)."""
        self._changed(self.fleet.renew(node))

    def best(self, request: Workload) -> tuple[int, int, float] | None:
        """Row, device (-1 unless it asks for a share) and score of the best place now; or None. Books and learns nothing."""
        import math

        scores = self._scores(request)
        if not len(scores.score):
            return None
        row = int(scores.score.argmax())
        score = float(scores.score[row])
        return None if math.isinf(score) else (row, int(scores.device[row]), score)

    def _changed(self, row: int) -> None:
        self.policy.changed(row)
        self._log.append(row)
        if len(self._log) > LONGEST_LOG:
            self._log.clear()
            self._kept.clear()

    def _scores(self, request: Workload) -> _Scores:
        import numpy as np

        kept = self._kept.get(request)
        if kept is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            size = len(self.fleet.nodes)
            kept = _Scores(self.fleet.ask(request), np.full(size, -np.inf), np.full(size, -1), 0, -1)
            self._kept[request] = kept
        if kept.version != self.policy.version or len(self._log) - kept.seen > len(self.fleet.nodes):
            rows = self.fleet.all_rows
        elif kept.seen == len(self._log):
            return kept
        else:
            rows = np.array(list(set(self._log[kept.seen :])))
        kept.seen, kept.version = len(self._log), self.policy.version
        kept.score[rows] = -np.inf
        fits = fitting(self.fleet, kept.ask, rows)
        if len(fits):
            kept.score[fits], kept.device[fits] = self.policy.score(kept.ask, fits)
        return kept

    def _refused(self, request: Workload) -> Placement:
        _, reasons = explained(self.fleet, self._kept[request].ask)
        return Placement(request, None, Refusal(reasons, nearest_possible(request, self.capacity)))


def place(request: Workload, nodes: Sequence[Node], policy: Policy, capacity: Sequence[Node] = ()) -> Placement:
    """Where the request goes on these nodes as they are, or why nowhere. Nothing is booked in ``nodes``.

    With ``capacity``, the nodes with nothing on them, a refusal also says when it is for ever, and the nearest possible request.
    """
    return Placer(nodes, policy, capacity).place(request)


def _grant(fleet: Fleet, ask: Footprint, row: int, devices: tuple[int, ...], score: float) -> Grant:
    node = fleet.nodes[row]
    milli = int(ask.milli[row]) if devices else 0
    return Grant(node.name, devices, tuple(node.devices[index].uuid for index in devices), milli, score)
