"""Takes the databases as they were a second before the end, out of what Litestream has copied."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from include.backup import sqlite
from include.backup.databases import ORDER
from include.errors import ComponentError, InputError
from include.platform.continuous import binary, configuration
from include.runtime.settings import Settings

FOLDER = "continuous"
"""In the store: a folder for each platform that has copied there, named by when it began."""


def newest(store: str) -> Path:
    """Return the folder of the platform that has begun to copy last. Raises InputError where none has."""
    found = sorted(path for path in (Path(store) / FOLDER).glob("*") if path.is_dir()) if "://" not in store else []
    if not found:
        raise InputError("nothing was copied there continuously.", where=store, remedy="Leave LATEST away: the newest backup is restored.")
    return found[-1]


def fetch(settings: Settings, store: str, target: Path) -> None:
    """Put the databases, as they were copied last, in place of those in ``target``. Raises ComponentError with Litestream's own words."""
    source = newest(store)
    with tempfile.TemporaryDirectory(dir=target) as work:
        named = {name: Path(work) / f"{name}.db" for name in ORDER}
        config = Path(work) / "litestream.yml"
        config.write_text(configuration(named, source))
        for name, path in named.items():
            out = Path(work) / f"{name}.sqlite"
            command = [str(binary(settings)), "restore", "-config", str(config), "-o", str(out), str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode or not out.exists():
                remedy = "Leave LATEST away: the newest backup is restored."
                raise ComponentError(
                    f"could not be restored: {(done.stderr or done.stdout).strip()[-500:]}", where=str(source / name), remedy=remedy
                )
            sqlite.check(out, str(source / name))
            out.replace(target / f"{name}.sqlite")
