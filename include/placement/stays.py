"""Who holds GPUs on which node, and when each is expected to give them back."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.placement.lengths import Lengths

if TYPE_CHECKING:
    from include.placement.fleet import Array


@dataclass(frozen=True)
class Stay:
    """Work on ``devices`` (indexes) of ``node``, ``milli`` of each, since that time. ``kind`` is what other work like it shares.

    ``ends`` is when its holder says that it ends (infinite: never); None if nobody says.
    """

    node: str
    devices: tuple[int, ...]
    milli: int
    kind: Hashable
    since: float
    ends: float | None = None
    cpu_milli: int = 0
    memory_mib: int = 0


class Stays:
    """Kept by keys of the caller's. Times are seconds on one clock."""

    def __init__(self) -> None:
        self.lengths = Lengths()
        self._of: dict[Hashable, Stay] = {}
        self._ends: dict[Hashable, float] = {}
        self._on: dict[str, dict[Hashable, None]] = {}
        self._again: list[tuple[float, int, Hashable]] = []
        self._number = 0
        self._arrays: tuple[Array, ...] | None = None

    def begun(self, key: Hashable, stay: Stay, now: float) -> None:
        self._of[key] = stay
        self._on.setdefault(stay.node, {})[key] = None
        self._expect(key, stay, now)
        self._arrays = None

    def over(self, key: Hashable, now: float, *, by_itself: bool = True) -> None:
        """It has ended; how long it stayed is learned. Of a key that isn't known: nothing."""
        stay = self._of.pop(key, None)
        if stay is None:
            return
        del self._ends[key]
        self._on[stay.node].pop(key)
        self._arrays = None
        self.lengths.ended(stay.kind, max(0.0, now - stay.since), by_itself=by_itself)

    def forget(self) -> None:
        """Nobody is anywhere; what was learned stays."""
        self._of, self._ends, self._on, self._again, self._arrays = {}, {}, {}, [], None

    def look(self, now: float) -> None:
        """Expect anew the ends of those that have stayed for notably longer than when this was last asked."""
        while self._again and self._again[0][0] <= now:
            _, _, key = heapq.heappop(self._again)
            stay = self._of.get(key)
            if stay is not None:
                self._expect(key, stay, now)
                self._arrays = None

    def _expect(self, key: Hashable, stay: Stay, now: float) -> None:
        age = max(0.0, now - stay.since)
        if stay.ends is not None and stay.ends > now:
            ends, again = stay.ends, stay.ends
        else:  # nobody has said, or it has stayed for longer than was said
            ends = now + self.lengths.left_s(stay.kind, age)
            again = max(stay.since + self.lengths.again_s(age), now + 1.0)
        self._ends[key] = ends
        self._number += 1
        heapq.heappush(self._again, (again, self._number, key))

    def on(self, node: str) -> list[tuple[Stay, float]]:
        """Return who is on the node, with the ends that are expected."""
        return [(self._of[key], self._ends[key]) for key in self._on.get(node, ())]

    def arrays(self, row_of: Mapping[str, int]) -> tuple[Array, ...]:
        """Return of every device held: node's row, index, milli, expected end; and of every stay: node's row, CPU, memory, expected end."""
        import numpy as np

        if self._arrays is None:
            here = [(row_of[stay.node], stay, self._ends[key]) for key, stay in self._of.items() if stay.node in row_of]
            held = [(row, device, stay.milli, ends) for row, stay, ends in here for device in stay.devices]
            whole = [(row, stay.cpu_milli, stay.memory_mib, ends) for row, stay, ends in here]
            columns = [np.array(rows, dtype=np.float64).reshape(-1, 4).T for rows in (held, whole)]
            self._arrays = tuple(column if at == 3 else column.astype(np.int64) for four in columns for at, column in enumerate(four))
        return self._arrays
