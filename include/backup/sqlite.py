"""SQLite's databases: copied while they are written to, by SQLite's own online backup (sqlite.org/backup.html)."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from include.errors import ComponentError, InputError

LOCKED_S = 60.0
"""A database that somebody keeps locked for so long is given up."""
WAIT_S = 0.1


def copy(source: Path, target: Path, locked_s: float = LOCKED_S) -> None:
    """Write a consistent copy of a database. Raises InputError when there is none, ComponentError when it stays locked, is damaged, or the
    disk is full."""
    if not source.is_file():
        raise InputError("the database is gone.", where=str(source), remedy="Restore a backup of before, into an empty home.")
    deadline = time.monotonic() + locked_s

    def watch(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise ComponentError(
                f"somebody has kept the database locked for {locked_s:g} s.",
                where=str(source),
                remedy="End who writes to it, and try again.",
            )

    try:
        with closing(_opened(source)) as opened, closing(sqlite3.connect(target)) as copied:
            # All pages in one step: it is consistent at once, and begins anew for nobody's write.
            opened.backup(copied, pages=-1, progress=watch, sleep=WAIT_S)
            copied.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the source's mode
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        remedy = "Is the disk full? Is the database damaged (`PRAGMA integrity_check`)?"
        raise ComponentError(f"could not be copied ({error}).", where=str(source), remedy=remedy) from error
    check(target, str(source))


def check(database: Path, where: str) -> None:
    """Raise ComponentError for a database that is damaged."""
    try:
        with closing(_opened(database)) as opened:
            found = [row[0] for row in opened.execute("PRAGMA integrity_check(5)")]
    except sqlite3.Error as error:
        found = [str(error)]
    if found != ["ok"]:
        remedy = "Restore a backup of before, into an empty home."
        raise ComponentError(f"the database is damaged: {'; '.join(found)[:500]}", where=where, remedy=remedy)


def _opened(path: Path) -> sqlite3.Connection:
    """Not read-only: what a killed writer has left in the write-ahead log is part of the database, and only who may write can read it."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=0.2)
