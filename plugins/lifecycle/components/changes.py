"""Has the DAG processor read the platform's DAG files again when a model has changed, so that it need not read them all the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

AGAIN_S = (10.0, 60.0)
"""Read again so long after a change, too: Airflow writes no DAG twice within seconds, and forgets one only when a file was read without it
50 s after it was last read with it."""


class Changes:
    """Says when the DAG files are to be read. ``ask`` has them read."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._seen: Hashable = None
        self._due: list[float] = []

    def look(self, seen: Hashable, now_s: float) -> None:
        """Take in what the models' files are like now; ``now_s`` counts on (seconds). The first time nothing has changed."""
        changed = self._seen is not None and seen != self._seen
        if changed:
            self._due = [now_s, *(now_s + later for later in AGAIN_S)]
        self._seen = seen
        if self._due and self._due[0] <= now_s:
            self._due = [due for due in self._due if due > now_s]
            self._ask()


def ask_airflow(bundle: str, files: Iterable[Path]) -> None:
    """Have the DAG processor read these files of a bundle (paths within it) next, as "Reparse" on Airflow's page does."""
    from airflow.models.dagbag import DagPriorityParsingRequest
    from airflow.utils.session import create_session

    with create_session() as session:
        for file in files:
            session.merge(DagPriorityParsingRequest(bundle_name=bundle, relative_fileloc=str(file)))


def clock() -> float:
    """Return the time that counts on (seconds)."""
    return time.monotonic()
