"""The nodes as arrays, so that thousands can be looked at in one go, and what a request means on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.placement.node import FULL, Node
from include.placement.workload import Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Fleet:
    """Free CPU, memory and GPU shares of nodes, ordered by name. The only mutable thing in placement: :meth:`take` and :meth:`give`.

    N nodes, D = most devices on any: ``cpu`` [N] milli-cores, ``memory`` [N] MiB, ``free`` [N, D] milli (0 where there is no device),
    ``kind`` [N] index into ``kinds``, the distinct (model, device memory).
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        import numpy as np

        self.nodes = tuple(sorted(nodes, key=lambda node: node.name))
        self.row_of = {node.name: row for row, node in enumerate(self.nodes)}
        if len(self.row_of) < len(self.nodes):
            raise InputError("two nodes have the same name", where="nodes", remedy="Give each node its own name.")
        self.kinds = tuple(sorted({node.kind for node in self.nodes}))
        place = {kind: index for index, kind in enumerate(self.kinds)}
        width = max((len(node.devices) for node in self.nodes), default=0) or 1
        self.cpu: Array = np.array([node.cpu_milli for node in self.nodes], dtype=np.int64)
        self.memory: Array = np.array([node.memory_mib for node in self.nodes], dtype=np.int64)
        self.kind: Array = np.array([place[node.kind] for node in self.nodes], dtype=np.int64)
        self.devices: Array = np.array([len(node.devices) for node in self.nodes], dtype=np.int64)
        self.free: Array = np.zeros((len(self.nodes), width), dtype=np.int64)
        for row, node in enumerate(self.nodes):
            self.free[row, : len(node.devices)] = [device.free_milli for device in node.devices]
        self.full: Array = (self.free == FULL).sum(axis=1)
        self.capacity_milli = FULL * int(self.devices.sum())
        self.all_rows: Array = np.arange(len(self.nodes))

    def ask(self, request: Workload) -> Footprint:
        """The request as numbers on this fleet."""
        import numpy as np

        milli = np.array([request.milli_on(memory) for _, memory in self.kinds], dtype=np.int64)
        allowed = np.array([bool(model) and request.allows(model) for model, _ in self.kinds], dtype=bool)
        return Footprint(request, milli[self.kind], allowed[self.kind], milli, allowed, self._labelled(request.labels))

    def _labelled(self, labels: tuple[tuple[str, str], ...]) -> Array | None:
        import numpy as np

        if not labels:
            return None
        return np.array([_has(node.labels, labels) for node in self.nodes], dtype=bool)

    def devices_for(self, ask: Footprint, row: int, device: int) -> tuple[int, ...]:
        """The devices a placement on ``row`` uses: the scored one for a share, else the first fully free ones."""
        if ask.request.shared:
            return (device,)
        return tuple(int(index) for index in (self.free[row] == FULL).nonzero()[0][: ask.request.gpus])

    def take(self, ask: Footprint, row: int, devices: Sequence[int]) -> None:
        """Book it. The caller has made sure that it fits."""
        self._move(ask, row, devices, -1)

    def give(self, ask: Footprint, row: int, devices: Sequence[int]) -> None:
        """Return what :meth:`take` booked."""
        self._move(ask, row, devices, 1)

    def renew(self, node: Node) -> int:
        """Take over what that node says is free, whatever was booked here; its row. Its name, kind and number of GPUs must be known."""
        row = self.row_of.get(node.name)
        if row is None or node.kind != self.nodes[row].kind or len(node.devices) != self.devices[row]:
            raise InputError("is not the node that placement knows", where=f"node {node.name}", remedy="Start a new placer with all nodes.")
        self.cpu[row], self.memory[row] = node.cpu_milli, node.memory_mib
        self.free[row, : len(node.devices)] = [device.free_milli for device in node.devices]
        self.full[row] = int((self.free[row] == FULL).sum())
        return row

    def _move(self, ask: Footprint, row: int, devices: Sequence[int], sign: int) -> None:
        self.cpu[row] += sign * ask.request.cpu_milli
        self.memory[row] += sign * ask.request.memory_mib
        milli = sign * int(ask.milli[row])
        for device in devices:
            self.free[row, device] += milli
        self.full[row] = int((self.free[row] == FULL).sum())


@dataclass(frozen=True, eq=False)
class Footprint:
    """A request on one fleet. ``milli`` [N] is what it takes of each device it touches there, ``allowed`` [N] whether the model suits;
    ``milli_of_kind`` and ``kind_allowed`` [kinds] are the same by kind; ``labelled`` [N], None when no label is asked."""

    request: Workload
    milli: Array
    allowed: Array
    milli_of_kind: Array
    kind_allowed: Array
    labelled: Array | None

    @cached_property
    def devices(self) -> int:
        return self.request.devices


def _has(labels: Mapping[str, str], wanted: tuple[tuple[str, str], ...]) -> bool:
    return all(labels.get(key) == value for key, value in wanted)
