"""Small chores, once a minute: the gateway's access log is counted and rotated, old steps and logs of tasks are thrown away."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.gateway.last_use import LastUse
from include.gateway.metering import Meter
from include.gateway.rotate import rotate
from include.runtime.settings import Settings

EVERY_S = 60
KEEP_STEPS_S = 7 * 24 * 3600
"""Folders of steps are kept for a week: long enough to look at what a failed one left behind."""

KEEP_LOGS_S = 90 * 24 * 3600
"""Logs of a run's tasks are kept for so long; what it found stands in the tables."""


def main() -> None:
    settings = Settings.load()
    while True:
        for chore in (counted, noted, rotated):
            try:
                chore(settings)
            except (UpdraftError, OSError) as error:
                print(f"The access log was not {chore.__name__}: {error}", flush=True)
        logs = [folder for dag in (settings.logs / "airflow").glob("dag_id=*") for folder in old(dag, KEEP_LOGS_S, time.time())]
        for folder in [*old(settings.steps, KEEP_STEPS_S, time.time()), *logs]:
            print(f"Throwing away {folder}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(EVERY_S)


def counted(settings: Settings) -> None:
    """Tokens are counted out of the gateway's access log."""
    Meter(settings.gateway_log, settings.usage).update()


def noted(settings: Settings) -> None:
    """The time at which each caller last came is taken from the gateway's access log."""
    LastUse(settings.gateway_log, settings.key_use).update()


def rotated(settings: Settings) -> None:
    """The gateway's access log is rotated."""
    gateway = Gateway(settings)
    rotate(gateway.access_log, gateway.admin)


def old(folder: Path, keep_s: float, now: float) -> list[Path]:
    """Entries of a folder in which nothing has changed for ``keep_s`` seconds."""
    if not folder.exists():
        return []
    return [path for path in folder.iterdir() if all(now - _changed(part) > keep_s for part in (path, *path.rglob("*")))]


def _changed(path: Path) -> float:
    """When, in seconds; of a link, when it was made: where a step's leads is not looked at."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


if __name__ == "__main__":
    main()
