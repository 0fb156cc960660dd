"""How long work stays, learned from what has ended: for each kind of work, and for all kinds where few of one have been seen.

Time is cut into spans, each longer than the last by half an octave. Of each span is counted how much work came into it, and how much ended
in it: the part that ended is its hazard (Kaplan and Meier, 1958). A kind's hazards lean on those of all work as if it had seen ``LEAN``
more like these. Work that has stayed for long is expected to stay for longer, so what is left is asked anew as time passes; NILAS does so
with virtual machines ("LAVA: Lifetime-Aware VM Allocation with Learned Distributions and Adaptation to Mispredictions", MLSys 2025).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Hashable

EDGES: tuple[float, ...] = (0.0, *(2.0 ** (2 + step / 2) for step in range(41)))
"""Where the spans begin, seconds: 4 s, and so on up to 48 days."""
LEAN = 8.0
FEW, MANY = 1e-4, 0.98
"""No hazard is less, or more."""
FIRST = 0.1
"""The hazard of each span before anything was seen: work that has come into it lasts some six spans more."""
MOST_KINDS = 2_000
"""Of more kinds those that were met first are forgotten."""
RENEW_EVERY = 50
"""What is known of all work is taken over into what is said of each kind every so many ends."""


class Lengths:
    """:meth:`ended` teaches, :meth:`left_s` asks."""

    def __init__(self) -> None:
        spans = len(EDGES) - 1
        self.seen = 0
        self._came, self._ended = [0.5] * spans, [0.5 * FIRST] * spans
        self._of: dict[Hashable, tuple[list[float], list[float]]] = {}
        self._sums: dict[Hashable, list[float]] = {}

    def ended(self, kind: Hashable, seconds: float, *, by_itself: bool = True) -> None:
        """Take note that work of this kind stayed for so long; not ``by_itself``: somebody ended it, and it would have stayed longer."""
        if kind not in self._of:
            if len(self._of) >= MOST_KINDS:
                self._of.pop(next(iter(self._of)))
            self._of[kind] = [0.0] * (len(EDGES) - 1), [0.0] * (len(EDGES) - 1)
        last = _span(seconds)
        for came, ended in (self._of[kind], (self._came, self._ended)):
            for span in range(last + by_itself):
                came[span] += 1
            ended[last] += by_itself
        self.seen += 1
        if self.seen % RENEW_EVERY == 0:
            self._sums.clear()
        self._sums.pop(kind, None)

    def left_s(self, kind: Hashable, age_s: float) -> float:
        """Return for how much longer work of this kind and age stays: half of it no longer than this, half longer."""
        return self._left(self._summed(kind), max(0.0, age_s), math.log(2))

    def usual_s(self, part: float) -> float:
        """Return the time within which this part of all work has ended."""
        return self._left(self._summed(None), 0.0, -math.log(1 - part))

    def again_s(self, age_s: float) -> float:
        """Return the age from which :meth:`left_s` says something notably different."""
        later = bisect_right(EDGES, max(0.0, age_s))
        return EDGES[later] if later < len(EDGES) else 2 * age_s

    def _left(self, sums: list[float], age_s: float, more: float) -> float:
        wanted = _between(sums, age_s) + more
        if wanted >= sums[-1]:
            return max(EDGES[-1], 2 * age_s) - age_s
        at = max(bisect_left(sums, wanted) - 1, 0)
        width = max(sums[at + 1] - sums[at], 1e-12)
        return max(EDGES[at] + (EDGES[at + 1] - EDGES[at]) * (wanted - sums[at]) / width - age_s, 0.0)

    def _summed(self, kind: Hashable) -> list[float]:
        """The hazards summed up to each edge, as -log of what part stays; ``kind`` None: of all work."""
        if kind not in self._sums:
            came, ended = self._of.get(kind, (None, None))
            sums = [0.0]
            for span in range(len(EDGES) - 1):
                hazard = self._ended[span] / self._came[span]
                if came is not None and ended is not None:
                    hazard = (ended[span] + LEAN * hazard) / (came[span] + LEAN)
                sums.append(sums[-1] - math.log1p(-min(max(hazard, FEW), MANY)))
            self._sums[kind] = sums
        return self._sums[kind]


def _span(seconds: float) -> int:
    return min(max(bisect_right(EDGES, seconds) - 1, 0), len(EDGES) - 2)


def _between(sums: list[float], seconds: float) -> float:
    if seconds >= EDGES[-1]:
        return sums[-1]
    at = _span(seconds)
    return sums[at] + (sums[at + 1] - sums[at]) * (seconds - EDGES[at]) / (EDGES[at + 1] - EDGES[at])
