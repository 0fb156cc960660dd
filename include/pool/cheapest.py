"""The cheapest whole devices to clear where no team's budget binds: exact, and fast on large fleets.

Each node's cheapest way is a small knapsack; a gang takes the nodes that are cheapest. A lease that lies on several nodes makes them
cheaper together: sets of such leases are tried, every one of them where there are few, else whichever single change makes it better.
Fewest victims come first, then the soonest start, then the least work lost: so the start is bounded as tightly as the fewest allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from include.pool.frontier import NOBODY, Candidate, Piece, Way

FEW = 8
"""So many leases that lie on several nodes are tried in every combination."""
PAIRS = 50
"""Of so many every pair is a start."""
STARTS = 2
"""From so many of the best the search goes on."""
SWAPS = 500
"""So many exchanges of one for another are tried where no single change makes it better."""
Cost = tuple[float, float]
"""Leases that end, work lost."""
Priced = tuple[Cost, list[str], frozenset[str]]
"""What it costs if these leases end anyway, in an order that is one."""
Choice = tuple[Cost, str, tuple[Piece, ...]]
"""Of one node: what it costs, which part, which pieces."""


@dataclass
class Cheapest:
    """``pieces`` of each part, ``node_of`` each part; ``gpus`` are wanted on each of ``nodes`` nodes."""

    candidates: Mapping[str, Candidate]
    pieces: Mapping[str, list[Piece]]
    node_of: Callable[[str], str]
    gpus: int
    nodes: int

    def way(self) -> Way | None:
        """None if there is none."""
        spans = self._spanning() if self.nodes > 1 else {}
        best = Bounded(self, float("inf"), spans).way()
        if best is None or best.start_s == 0.0:
            return best
        starts = sorted({piece.start_s for found in self.pieces.values() for piece in found if piece.start_s < best.start_s})
        low, high = 0, len(starts)
        while low < high:  # the tightest bound on the start under which so few are enough
            middle = (low + high) // 2
            found = Bounded(self, starts[middle], spans).way()
            if found is not None and found.count == best.count:
                best, high = found, middle
            else:
                low = middle + 1
        return best

    def _spanning(self) -> dict[str, list[str]]:
        """Leases on several of the nodes → their parts."""
        parts: dict[str, list[str]] = {}
        for part, found in self.pieces.items():
            for piece in found:
                for victim in piece.victims:
                    parts.setdefault(victim, []).append(part)
        return {lease: some for lease, some in parts.items() if len({self.node_of(part) for part in some}) > 1}


class Bounded:
    """The same, begun by ``start_s``."""

    def __init__(self, of: Cheapest, start_s: float, spans: Mapping[str, list[str]]) -> None:
        self.of, self.start_s = of, start_s
        node_of = of.node_of
        self.spans = {lease: frozenset(map(node_of, parts)) for lease, parts in spans.items() if of.candidates[lease].grace_s <= start_s}
        self._parts: dict[str, list[str]] = {}
        for part in of.pieces:
            self._parts.setdefault(node_of(part), []).append(part)
        self._here = {node: frozenset(lease for lease, nodes in self.spans.items() if node in nodes) for node in self._parts}
        self._known: dict[tuple[str, frozenset[str]], Choice | None] = {}
        best = {node: self._node(node, NOBODY) for node in self._parts}
        self._nodes = sorted((choice[:2], node) for node, choice in best.items() if choice is not None)

    def way(self) -> Way | None:
        """Every combination of leases on several nodes where there are few; else from a good start whatever change makes it better."""
        leases = sorted(self.spans)
        most = len(leases) if len(leases) <= FEW else 2 if len(leases) <= PAIRS else 1
        starts = {frozenset(some) for count in range(most + 1) for some in combinations(leases, count)}
        starts |= {self._together()} if len(leases) > FEW else set()
        first = sorted(found for paid in starts if (found := self._priced(paid)) is not None)
        better = [self._better(found, leases) for found in first[:STARTS]] if len(leases) > FEW else first[:1]
        return self._way(min(better)[2]) if better else None

    def _better(self, best: Priced, leases: list[str]) -> Priced:
        """Changed as long as that makes it better."""
        while True:
            paid = best[2]
            step = min((found for other in _changes(paid, leases) if (found := self._priced(other)) is not None), default=best)
            if step >= best and len(leases) * len(paid) <= SWAPS:
                swaps = (paid - {out} | {into} for out in paid for into in leases if into not in paid)
                step = min((found for other in swaps if (found := self._priced(other)) is not None), default=best)
            if step >= best:
                return best
            best = step

    def _together(self) -> frozenset[str]:
        """A good start: what is chosen where a lease on several nodes costs each of them its part only."""
        of = self.of
        parts = {lease: len(nodes) for lease, nodes in self.spans.items()}
        cheaper = {
            lease: replace(one, lost=one.lost / parts[lease], weight=1 / parts[lease]) if lease in parts else one
            for lease, one in of.candidates.items()
        }
        chosen = Bounded(replace(of, candidates=cheaper), self.start_s, {})._chosen(NOBODY)
        return frozenset(victim for _, _, some in chosen or () for piece in some for victim in piece.victims if victim in parts)

    def _priced(self, paid: frozenset[str]) -> Priced | None:
        cost = self._cost(paid)
        return None if cost is None else (cost, sorted(paid), paid)

    def _cost(self, paid: frozenset[str]) -> Cost | None:
        """If these end anyway."""
        chosen = self._chosen(paid)
        if chosen is None:
            return None
        lost = sum(self.of.candidates[lease].lost for lease in paid)
        return len(paid) + sum(cost[0] for cost, _, _ in chosen), lost + sum(cost[1] for cost, _, _ in chosen)

    def _chosen(self, paid: frozenset[str]) -> list[Choice] | None:
        """The cheapest nodes."""
        touched = set().union(*(self.spans[lease] for lease in paid))
        found = [choice for node in touched if (choice := self._node(node, paid)) is not None]
        for _, node in self._nodes:
            if len(found) >= self.of.nodes + len(touched):
                break
            if node not in touched and (choice := self._node(node, NOBODY)) is not None:
                found.append(choice)
        return sorted(found, key=lambda choice: choice[:2])[: self.of.nodes] if len(found) >= self.of.nodes else None

    def _node(self, node: str, paid: frozenset[str]) -> Choice | None:
        """Its cheapest part."""
        here = paid & self._here[node]
        if (node, here) not in self._known:
            found = [
                (known[0], part, known[1]) for part in self._parts[node] if (known := self._on(self.of.pieces[part], here)) is not None
            ]
            self._known[node, here] = min(found, key=lambda choice: choice[:2], default=None)
        return self._known[node, here]

    def _way(self, paid: frozenset[str]) -> Way:
        chosen = self._chosen(paid) or []
        victims = paid.union(*(piece.victims for _, _, some in chosen for piece in some))
        ends = [self.of.candidates[victim] for victim in victims]
        start_s = max((*(one.grace_s for one in ends), *(piece.start_s for _, _, some in chosen for piece in some)), default=0.0)
        devices = tuple(uuid for _, _, some in chosen for uuid in [uuid for piece in some for uuid in piece.devices][: self.of.gpus])
        return Way(len(ends), start_s, sum(one.lost for one in ends), victims, devices, tuple(part for _, part, _ in chosen))

    def _on(self, found: list[Piece], paid: frozenset[str]) -> tuple[Cost, tuple[Piece, ...]] | None:
        """The cheapest pieces of a part that give enough."""
        free: list[Piece] = []
        priced: dict[int, list[tuple[Cost, tuple[str, ...], Piece]]] = {}
        for piece in found:
            if piece.start_s > self.start_s:
                continue
            ends = [self.of.candidates[victim] for victim in piece.victims if victim not in paid]
            if ends:
                priced.setdefault(piece.gives, []).append(
                    ((sum(one.weight for one in ends), sum(one.lost for one in ends)), piece.devices, piece)
                )
            else:
                free.append(piece)
        free.sort(key=lambda piece: (piece.start_s, piece.devices))
        missing = self.of.gpus
        for number, piece in enumerate(free, start=1):
            missing -= piece.gives
            if missing <= 0:
                return (0, 0.0), tuple(free[:number])
        known = _knapsack(missing, priced)
        return None if known is None else (known[0], (*free, *known[1]))


def _knapsack(missing: int, priced: Mapping[int, list[tuple[Cost, tuple[str, ...], Piece]]]) -> tuple[Cost, tuple[Piece, ...]] | None:
    """The cheapest pieces that give so much together; ``priced`` by what each gives."""
    cells: list[tuple[Cost, tuple[Piece, ...]] | None] = [((0, 0.0), ()), *([None] * missing)]
    for gives, some in sorted(priced.items(), reverse=True):
        for (count, lost), _, piece in sorted(some, key=lambda entry: entry[:2])[: -(-missing // gives)]:  # more are never needed
            for had in range(missing - 1, -1, -1):
                cell = cells[had]
                if cell is None:
                    continue
                into = min(missing, had + gives)
                cost = (cell[0][0] + count, cell[0][1] + lost)
                there = cells[into]
                if there is None or cost < there[0]:
                    cells[into] = (cost, (*cell[1], piece))
    return cells[missing]


def _changes(paid: frozenset[str], leases: list[str]) -> Iterator[frozenset[str]]:
    """One more or one less."""
    return (paid ^ {lease} for lease in leases)
