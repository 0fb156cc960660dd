"""Looks at revisions without asking those all the time that are well."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from include.serving.observed import Observed
from include.serving.revision import Revision

CALM_S = 5.0
"""How often a server that was well is asked whether it still answers, when nothing about it has changed. That its process or its port is
gone is seen at every look."""
LOOKS_AT_ONCE = 8
Key = TypeVar("Key", bound=Hashable)
Look = Callable[[Revision], Observed | None]


class Glimpses(Protocol):
    """Of :class:`include.serving.revisions.Revisions`, what is used here."""

    def glimpse(self, revisions: Iterable[Revision]) -> dict[str, Hashable]: ...


@dataclass(frozen=True)
class Calm:
    """What was seen of a revision that was well at ``at_s``, and the glimpse of it just before."""

    seen: Observed
    glimpse: Hashable
    at_s: float


def well(seen: Observed) -> bool:
    """Whether nothing is to be done about a server, and nobody does anything. Pure."""
    return seen.ready and not (seen.busy or seen.halted or seen.waits or seen.failure)


class Eyes(Generic[Key]):
    """Remembers what was seen of those that are well. ``look`` asks one."""

    def __init__(self, backend: Glimpses, look: Look) -> None:
        self._backend, self._look = backend, look
        self._calm: dict[Key, Calm] = {}
        self._threads = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="look")

    def look(self, revisions: Mapping[Key, Revision], clock_s: float) -> dict[Key, Observed | None]:
        """What is seen of each: one that was well, and about which nothing has changed, is asked anew only every :data:`CALM_S`.
        ``clock_s`` counts on (seconds)."""
        glimpses = self._backend.glimpse(revisions.values())
        self._calm = {
            key: known
            for key, revision in revisions.items()
            if (known := self._calm.get(key)) and known.glimpse == glimpses.get(revision.name) and clock_s - known.at_s < CALM_S
        }
        asked = {key: revision for key, revision in revisions.items() if key not in self._calm}
        found = dict(zip(asked, self._threads.map(self._look, asked.values()), strict=True))
        seen = {key: found[key] if key in found else self._calm[key].seen for key in revisions}
        for key, one in found.items():
            if one is not None and well(one) and (glimpse := glimpses.get(revisions[key].name)) is not None:
                self._calm[key] = Calm(one, glimpse, clock_s)
        return seen
