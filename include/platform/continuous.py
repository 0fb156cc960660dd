"""Litestream: what is written to the SQLite databases is in a second place within seconds. One process beside the others, where it is asked
for (`make backup-plan CONTINUOUS=1`); docs/backup.md."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from include import atomic
from include.errors import InputError
from include.platform import scale
from include.runtime.settings import Settings
from include.runtime.supervisor import Program

NAME = "litestream"
WHERE = "continuous.json"
"""In the home's folder `backup`: the folder that the copies go to, which is this platform's alone."""
SYNC_S = 1
CONFIG = "UPDRAFT_CONFIG"


def binary(settings: Settings) -> Path:
    """Return Litestream's program. Raises InputError where there is none."""
    found = settings.python(NAME).with_name(NAME)
    if not found.exists():
        raise InputError("there is no Litestream.", where=str(found), remedy="Run `make install-litestream`.")
    return found


def insist_possible(settings: Settings) -> None:
    """Raise InputError for a platform whose databases are no SQLite files, or without Litestream."""
    if scale.chosen(settings) is not scale.Scale.EMBEDDED:
        remedy = "PostgreSQL has an archive of its own for this (continuous archiving, `archive_command`)."
        raise InputError("Litestream copies SQLite, and this platform has PostgreSQL.", where="CONTINUOUS", remedy=remedy)
    binary(settings)


def choose(settings: Settings, folder: Path | None) -> None:
    """Copy to a folder from the next `make up` on; None: no more."""
    place = settings.home / "backup" / WHERE
    if folder is None:
        place.unlink(missing_ok=True)
    else:
        insist_possible(settings)
        atomic.write(place, json.dumps({"to": str(folder)}))


def chosen(settings: Settings) -> Path | None:
    """Return the folder that it copies to; None where it was not asked for."""
    place = settings.home / "backup" / WHERE
    return Path(json.loads(place.read_text())["to"]) if place.exists() else None


def configuration(databases: dict[str, Path], folder: Path) -> str:
    """Return Litestream's (YAML, of which JSON is a part)."""
    copies = [
        {"path": str(path), "replica": {"type": "file", "path": str(folder / name), "sync-interval": f"{SYNC_S}s"}}
        for name, path in databases.items()
    ]
    return json.dumps({"dbs": copies}, indent=1)


def programs(settings: Settings) -> list[Program]:
    """Return it, as supervisord runs it; nothing where it was not asked for."""
    folder = chosen(settings)
    if folder is None:
        return []
    text = configuration(scale.sqlite_files(settings), folder)
    file = settings.home / "backup" / "litestream.yml"
    atomic.write(file, text)
    return [
        Program(
            name=NAME,
            command=(str(binary(settings)), "replicate", "-config", str(file)),
            directory=settings.home,
            log=settings.logs / f"{NAME}.log",
            environment={CONFIG: hashlib.sha256(text.encode()).hexdigest()[:16], "HOME": str(settings.home)},
            stop_wait_s=15,  # it sends what is left
            priority=50,  # it stops after those that write
        )
    ]
