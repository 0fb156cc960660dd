"""The cheapest ways to free so much by ending leases that belong together: exact, by dynamic programming over what is freed.

A way costs (leases ended, seconds until the last of them is gone, work lost); of two that free as much, one that costs no less in any
respect and takes no less from any team is dropped, so that what is left holds the best whatever is added to it. Ways that end different
``spanning`` leases are never compared: such a lease may free something elsewhere too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MOST_WAYS = 64
"""So many are kept of each amount at most: the cheapest, and those that take least from the teams."""
NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Candidate:
    """A lease that may be ended: its rank among victims (``priority``), the work that it would lose (GPU-seconds), what it counts for its
    team's quota (thousandths of GPUs), and how long it may take to stop (seconds)."""

    lease: str
    priority: int
    lost: float
    milli: int
    team: str = ""
    grace_s: float = 0.0
    weight: float = 1
    """Of how many leases it counts as one; less only while a search looks for a start."""


@dataclass(frozen=True)
class Budgets:
    """What may be taken from each team (thousandths of GPUs; a team that isn't named: all). With ``straddling`` the last of a team's
    leases may reach over its budget: it was lent in part."""

    milli: Mapping[str, int] = field(default_factory=dict)
    straddling: bool = False

    def forbid(self, one: Candidate) -> bool:
        """Whether it may not end even alone."""
        return one.team in self.milli and self.over(one.milli, one.milli, one.team)

    def over(self, taken: int, smallest: int, team: str) -> bool:
        return taken - smallest >= self.milli[team] if self.straddling else taken > self.milli[team]


Taken = tuple[tuple[str, int, int], ...]
"""Team, thousandths taken from it, the smallest lease among them."""


@dataclass(frozen=True)
class Way:
    """``victims`` end, ``devices`` are then free (or were)."""

    count: int = 0
    start_s: float = 0.0
    lost: float = 0.0
    victims: frozenset[str] = NOBODY
    devices: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    """Where they lie: of a gang a part a node, each with as many of ``devices``."""
    taken: Taken = ()

    @property
    def cost(self) -> tuple[int, float, float]:
        return self.count, self.start_s, self.lost


@dataclass(frozen=True)
class Piece:
    """What comes free together: ``gives`` of it, when all its ``victims`` have ended; not before ``start_s``."""

    gives: int
    victims: frozenset[str]
    devices: tuple[str, ...] = ()
    start_s: float = 0.0


class Frontier:
    """Over these candidates and budgets."""

    def __init__(self, candidates: Mapping[str, Candidate], budgets: Budgets, most: int = MOST_WAYS) -> None:
        self._candidates, self._budgets, self.most = candidates, budgets, most

    def ways(self, pieces: Iterable[Piece], needed: int, paid: frozenset[str] = NOBODY, spanning: frozenset[str] = NOBODY) -> list[Way]:
        """Every way worth knowing to have ``needed``; empty when there is none. Those ``paid`` for end anyway."""
        cells: list[list[Way]] = [[] for _ in range(needed + 1)]
        cells[0].append(Way())
        for piece in pieces:
            for had in range(needed - 1, -1, -1):
                into = cells[min(needed, had + piece.gives)]
                for way in cells[had]:
                    new = self.join(way, piece.victims - paid, piece.start_s, piece.devices)
                    if new is not None:
                        keep(into, new, spanning, self.most)
        return cells[needed]

    def join(
        self, way: Way, victims: frozenset[str], start_s: float = 0.0, devices: tuple[str, ...] = (), parts: tuple[str, ...] = ()
    ) -> Way | None:
        """This way with more victims; None when a team would give more than its budget."""
        new = victims - way.victims
        found = [self._candidates[victim] for victim in new]
        taken = self._taken(way.taken, found)
        if taken is None:
            return None
        start_s = max(way.start_s, start_s, *(one.grace_s for one in found)) if found else max(way.start_s, start_s)
        lost = way.lost + sum(one.lost for one in found)
        return Way(way.count + len(found), start_s, lost, way.victims | new, way.devices + devices, way.parts + parts, taken)

    def _taken(self, before: Taken, more: Iterable[Candidate]) -> Taken | None:
        limits = self._budgets.milli
        if not limits:
            return before
        by_team = {team: (sum_milli, smallest) for team, sum_milli, smallest in before}
        for one in more:
            if one.team in limits:
                had, smallest = by_team.get(one.team, (0, one.milli))
                by_team[one.team] = had + one.milli, min(smallest, one.milli)
        if any(self._budgets.over(had, smallest, team) for team, (had, smallest) in by_team.items()):
            return None
        return tuple(sorted((team, had, smallest) for team, (had, smallest) in by_team.items()))


def keep(ways: list[Way], new: Way, spanning: frozenset[str] = NOBODY, most: int = MOST_WAYS) -> None:
    """Add it, unless one of them is as good; drop those that it beats, and the worst where there are more than ``most``."""
    spans = new.victims & spanning
    for way in ways:
        if (not spanning or way.victims & spanning == spans) and _beats(way, new):
            return
    ways[:] = [way for way in ways if (spanning and way.victims & spanning != spans) or not _beats(new, way)]
    ways.append(new)
    if len(ways) > most:
        frugal = sorted(ways, key=lambda way: (sum(had for _, had, _ in way.taken), way.cost))[: most // 2]
        kept = {id(way) for way in frugal}
        ways.sort(key=lambda way: way.cost)
        ways[:] = [*frugal, *[way for way in ways if id(way) not in kept][: most - len(frugal)]]


def _beats(one: Way, other: Way) -> bool:
    """At least as good in all that counts. A lease more is worse whatever else it saves."""
    if one.count > other.count:
        return False
    if one.count == other.count and (one.start_s > other.start_s or one.lost > other.lost):
        return False
    if not one.taken:
        return True
    there = {team: (had, smallest) for team, had, smallest in other.taken}
    return all(team in there and had <= there[team][0] and smallest >= there[team][1] for team, had, smallest in one.taken)
