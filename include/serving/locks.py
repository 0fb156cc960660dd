"""Locks over what lies in the revisions' folder: held for one change, given up by whoever dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from include.runtime.settings import Settings


@contextmanager
def locked(settings: Settings, name: str) -> Iterator[None]:
    """Hold the lock of this name, once nobody else does."""
    with FileLock(_file(settings, name)):
        yield


def is_locked(settings: Settings, name: str) -> bool:
    """Whether somebody holds the lock of this name now."""
    try:
        with FileLock(_file(settings, name), timeout=0):
            return False
    except Timeout:
        return True


def _file(settings: Settings, name: str) -> Path:
    folder = settings.revisions / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
