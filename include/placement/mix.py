"""The workload: which requests come, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from include.placement.workload import Workload


class Mix:
    """How often each distinct request was seen. Labels are left out: they say where, not what."""

    def __init__(self, requests: Iterable[Workload] = ()) -> None:
        self.counts: Counter[Workload] = Counter(requests)
        self.total = sum(self.counts.values())

    def see(self, request: Workload) -> None:
        self.counts[request] += 1
        self.total += 1

    def typical(self, share: float = 0.95) -> list[tuple[Workload, float]]:
        """The most frequent requests until they cover ``share`` of all, with their part of what they cover.

        Memory is no part of what makes two requests the same kind (FGD's definition, USENIX ATC'23).
        """
        kinds: Counter[Workload] = Counter()
        for request, count in self.counts.items():
            kinds[_without_memory(request)] += count
        chosen, covered = [], 0
        for request, count in sorted(kinds.items(), key=lambda item: (-item[1], repr(item[0]))):
            if covered >= share * self.total:
                break
            chosen.append((request, count))
            covered += count
        return [(request, count / covered) for request, count in chosen]


def _without_memory(request: Workload) -> Workload:
    return Workload(request.gpus, request.milli, request.gpu_memory_mib, request.models, request.cpu_milli)
