"""Keeps the access log small without losing a line to its readers."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from include.gateway.admin import Admin
from include.gateway.observe import rotated

MAX_BYTES = 64 * 1024 * 1024
KEEP = 4
REOPEN_S = 5.0


def rotate(log: Path, admin: Admin, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> bool:
    """Set the log aside when it has grown past ``max_bytes`` and let Envoy begin a new one; ``keep`` older files stay. True when it did.

    Killed half-way, Envoy goes on writing to the renamed file, and the next call asks it to reopen again.
    """
    with FileLock(log.parent / f"{log.name}.lock"):
        if log.exists() and log.stat().st_size <= max_bytes:
            return False
        if log.exists():
            _shift(log, keep)
        elif not log.with_name(f"{log.name}.1").exists():
            return False
        admin.reopen_logs()
        admin.wait(log.exists, REOPEN_S, "the access log was reopened")
        return True


def _shift(log: Path, keep: int) -> None:
    for number, path in reversed(list(enumerate(rotated(log)))):
        if number >= keep:
            path.unlink()
        else:
            path.rename(log.with_name(f"{log.name}.{number + 1}"))
