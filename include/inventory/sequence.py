"""A number that grows with every report, over restarts and over clocks that are set back: the pool refuses a report that is not newer."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Sequence:
    """``time_ns``, or the last number plus one when the clock says less. The last one is kept in ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._last = int(path.read_text())
        except (OSError, ValueError):
            self._last = 0

    def next(self) -> int:
        self._last = max(time.time_ns(), self._last + 1)
        self._keep()
        return self._last

    def _keep(self) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            temporary.write_text(str(self._last))
            temporary.replace(self._path)
        except OSError:
            pass  # a read-only folder: then the clock alone must not go back over a restart
