"""The specs of all models, as a program that runs for days knows them: read again when their files change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from include.kinds.load import find, load
from include.spec.problem import SpecError
from include.spec.schema import Spec

SPECS_S = 10.0


class Specs:
    """The models' specs below ``models``, looked at again every ten seconds. One that is broken counts as it was when it was whole.

    ``mine`` chooses models by their names; by default all are read.
    """

    def __init__(self, models: Path, mine: Callable[[str], bool] = lambda model: True) -> None:
        self._models, self._mine, self._read_s = models, mine, -SPECS_S
        self._known: dict[str, tuple[float, Spec | None]] | None = None
        self._lock = threading.Lock()

    def get(self, now_s: float) -> dict[str, Spec]:
        """Return the specs by model; ``now_s`` counts on (seconds). One thread reads them at a time: at first the others wait for it, since
        a model that is not known yet would be taken for none, or for nobody's; later they get what is known meanwhile."""
        if self._due(now_s) and self._lock.acquire(blocking=self._known is None):
            try:
                if self._due(now_s):  # nobody has read them while this one waited
                    self._known = {path.parent.name: self._one(path) for path in find(self._models) if self._mine(path.parent.name)}
                    self._read_s = now_s
            finally:
                self._lock.release()
        return {name: spec for name, (_, spec) in (self._known or {}).items() if spec is not None}

    def _due(self, now_s: float) -> bool:
        return self._known is None or now_s - self._read_s >= SPECS_S

    def _one(self, path: Path) -> tuple[float, Spec | None]:
        changed, (before_s, known) = path.stat().st_mtime, (self._known or {}).get(path.parent.name, (0.0, None))
        if changed == before_s:
            return changed, known
        try:
            return changed, load(path)
        except SpecError:
            return 0.0, known  # what is wrong may be mended in another file
