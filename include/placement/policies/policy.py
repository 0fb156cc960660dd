"""What a policy is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from include.placement.fleet import Fleet, Footprint
from include.placement.stays import Stay
from include.placement.workload import Workload

if TYPE_CHECKING:
    from include.placement.fleet import Array


class Policy(Protocol):
    """Scores the places that a request fits. Highest wins; ties go to the smallest node name, then the first device.

    ``version`` grows whenever scores given before no longer hold for nodes that did not change.
    """

    name: str
    version: int

    def attach(self, fleet: Fleet) -> None:
        """Start on this fleet, as it is now."""

    def see(self, request: Workload) -> None:
        """A request has come (it may yet be refused)."""

    def changed(self, row: int) -> None:
        """That node's free resources are not what they were."""

    def score(self, ask: Footprint, rows: Array) -> tuple[Array, Array]:
        """Score [R] and device [R] (-1 unless it asks for a share) of the R ``rows``, all of which it fits."""

    def at(self, now: float) -> None:
        """It is that time, in seconds."""

    def begun(self, key: Hashable, stay: Stay, now: float) -> None:
        """Work holds GPUs: said before what is free there changes, and again of all that is there after :meth:`attach`."""

    def over(self, key: Hashable, now: float, *, by_itself: bool = True) -> None:
        """It holds them no longer: said before what is free there changes. Not ``by_itself``: somebody ended it."""

    def recall(self, kind: Hashable, seconds: float, *, by_itself: bool) -> None:
        """Work of this kind stayed for so long, before this policy was there."""


class Timeless:
    """What a policy does about time to which that is nothing."""

    def at(self, now: float) -> None:
        pass

    def begun(self, key: Hashable, stay: Stay, now: float) -> None:
        pass

    def over(self, key: Hashable, now: float, *, by_itself: bool = True) -> None:
        pass

    def recall(self, kind: Hashable, seconds: float, *, by_itself: bool) -> None:
        pass
