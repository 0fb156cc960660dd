"""Marks that were given already, by the content of what was asked: what is asked again is neither sent nor paid for again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from include import atomic

MOST = 50_000
"""Marks that are kept; the longest unused go first."""


class Cache:
    """A folder of marks, one file each, written as they come. Several processes may use it at once."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self._folder, self._most = folder, most

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept under ``key`` (hexadecimal)."""
        path = self._path(key)
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            os.utime(path)
        except (FileNotFoundError, ValueError):
            return None
        return found

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Keep ``value``; it is on disk when this returns."""
        atomic.write(self._path(key), json.dumps(value, ensure_ascii=False))

    def prune(self) -> None:
        """Forget what goes beyond the bound."""
        kept = sorted((path.stat().st_mtime, path) for path in self._folder.glob("*/*.json"))
        for _, path in kept[: max(0, len(kept) - self._most)]:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"
