"""Waits until Airflow has made DAGs of the models: who triggers one before is told that there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from include.errors import UpdraftError
from include.kinds.load import find, load
from include.runtime.airflow_api import AirflowApi
from include.runtime.settings import Settings
from include.runtime.waiting import until

MOST_S = 90.0
"""A machine that has more to do reads them later; nothing else of the platform waits for that (seconds)."""


def wait_for(settings: Settings, api: AirflowApi, say: Callable[[str], None], most_s: float = MOST_S) -> None:
    """Return once a model's DAG is there, or after ``most_s`` seconds, which is then said. All models' DAGs come out of one file, and
    appear at once; those that the database knows from before are there already."""
    name = next((path.parent.name for path in _specs(settings.models) if _fine(path)), None)
    if name is None:
        return

    def there() -> bool:
        try:
            return api.get(f"/api/v2/dags/{name}_lifecycle", missing_ok=True) is not None
        except UpdraftError:
            return False

    if not until(there, most_s, 0.5):
        say(f"  Airflow has not yet read the models' DAGs after {most_s:g} s: they appear when it has")


def _specs(models: Path) -> list[Path]:
    try:
        return find(models)
    except UpdraftError:
        return []


def _fine(path: Path) -> bool:
    try:
        load(path)
    except UpdraftError:
        return False
    return True
