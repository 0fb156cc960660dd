"""The specs of all models for pages that ask every few seconds: each is read again only when its folder has changed, or after a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from include.errors import UpdraftError
from include.kinds.load import find, load
from include.runtime.settings import Settings
from include.spec.schema import Spec

KEPT_S = 60.0
"""What lies elsewhere (a file that a spec names) may have changed unseen for this long."""
Stamp = tuple[int, int]


@dataclass(frozen=True)
class Known:
    """A model's spec, or what is wrong with it; one of the two is there."""

    spec: Spec | None
    problem: str


class Catalogue:
    """Every model folder's spec by the folder's name."""

    def __init__(self, models: Callable[[], Path] = lambda: Settings.load().models, clock: Callable[[], float] = time.monotonic) -> None:
        self._models, self._clock, self._lock = models, clock, threading.Lock()
        self._kept: dict[Path, tuple[Stamp, float, Known]] = {}

    def all(self) -> dict[str, Known]:
        """Return what is known of each model; empty where there is no folder of models."""
        try:
            paths = find(self._models())
        except UpdraftError:
            return {}
        with self._lock:
            self._kept = {path: self._of(path) for path in paths}
            return {path.parent.name: known for path, (_, _, known) in self._kept.items()}

    def _of(self, path: Path) -> tuple[Stamp, float, Known]:
        stamp, now = _stamp(path), self._clock()
        kept = self._kept.get(path)
        if kept is not None and kept[0] == stamp and now - kept[1] < KEPT_S:
            return kept
        try:
            return stamp, now, Known(load(path), "")
        except UpdraftError as error:
            return stamp, now, Known(None, str(error))


def _stamp(path: Path) -> Stamp:
    """When the spec and the list of its folder's files were changed (ns)."""
    try:
        return path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns
    except OSError:
        return 0, 0


catalogue = Catalogue()
