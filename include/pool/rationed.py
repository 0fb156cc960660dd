"""Whole devices to clear where teams' budgets bind: what is cheapest on each node alone may take too much from a team together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from include.pool.frontier import MOST_WAYS, Budgets, Candidate, Frontier, Piece, Way, keep

JOINS = 30_000
"""About so many ways are joined; of larger problems fewer ways are kept."""


@dataclass(frozen=True)
class Rationed:
    """``pieces`` of each part, ``node_of`` each part; ``gpus`` are wanted on each of ``nodes`` nodes."""

    candidates: Mapping[str, Candidate]
    pieces: Mapping[str, list[Piece]]
    node_of: Callable[[str], str]
    gpus: int
    nodes: int
    budgets: Budgets

    def ways(self) -> list[Way]:
        """Node after node, every way to have so many of them that may still be part of the best; on large fleets the best of those."""
        by_node: dict[str, list[str]] = {}
        for part in sorted(self.pieces):
            by_node.setdefault(self.node_of(part), []).append(part)
        if len(by_node) < self.nodes:
            return []
        most = max(4, min(MOST_WAYS, int((JOINS / (len(by_node) * self.nodes)) ** 0.5)))
        frontier = Frontier(self.candidates, self.budgets, most)
        last = self._last_seen(by_node)
        cells: list[list[Way]] = [[Way()], *([] for _ in range(self.nodes))]
        for number, parts in enumerate(by_node.values()):
            here = frozenset(victim for part in parts for piece in self.pieces[part] for victim in piece.victims)
            later = frozenset(victim for victim in here if last[victim] > number) if self.nodes > 1 else frozenset()
            open_ones = frozenset(victim for victim, seen in last.items() if seen > number) if self.nodes > 1 else frozenset()
            known: dict[frozenset[str], list[Way]] = {}
            for had in range(self.nodes - 1, -1, -1):
                for way in cells[had]:
                    paid = way.victims & here
                    if paid not in known:
                        known[paid] = [found for part in parts for found in self._on(frontier, part, paid, later)]
                    for more in known[paid]:
                        new = frontier.join(way, more.victims, more.start_s, more.devices, more.parts)
                        if new is not None:
                            keep(cells[had + 1], new, open_ones, most)
        return cells[self.nodes]

    def _on(self, frontier: Frontier, part: str, paid: frozenset[str], later: frozenset[str]) -> list[Way]:
        found = frontier.ways(self.pieces[part], self.gpus, paid, later)
        return [replace(way, parts=(part,), devices=way.devices[: self.gpus]) for way in found]

    def _last_seen(self, by_node: Mapping[str, list[str]]) -> dict[str, int]:
        """Lease → the number of the last of these nodes on which it lies."""
        last: dict[str, int] = {}
        for number, parts in enumerate(by_node.values()):
            last |= {victim: number for part in parts for piece in self.pieces[part] for victim in piece.victims}
        return last
