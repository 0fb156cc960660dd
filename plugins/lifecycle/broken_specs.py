"""A bundle that holds one failing file for each broken spec, so that its error shows among Airflow's import errors.

`dags/lifecycle.py` makes the DAGs of all good specs and passes over broken ones: one file has one import error, and it would take every
good DAG with it. Since it looks at all models' files anyway, it has those DAG files read again when one of them has changed.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle

from include.kinds.load import find, load
from include.runtime.settings import Settings
from include.spec.problem import SpecError
from lifecycle.components.changes import Changes, ask_airflow, clock

BUNDLE = "updraft"
"""The bundle whose files make DAGs of the specs."""

# Airflow looks only into files that mention both "airflow" and "dag".
STUB = '''"""Shows Airflow a spec that could not be read; makes no DAG."""

from pathlib import Path

from include.kinds.load import load

load(Path({path!r}))  # raises what is wrong with it
'''


Files = frozenset[tuple[str, int, int]]


class BrokenSpecsBundle(BaseDagBundle):
    """Refreshed by the DAG processor: a spec that breaks appears, one that is mended disappears."""

    supports_versioning = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = Settings.load()
        self._looked: dict[Path, tuple[Files, bool]] = {}
        self._changes = Changes(self._read_again)

    @property
    def path(self) -> Path:
        return self._settings.home / "broken_specs"

    def get_current_version(self) -> None:
        return None

    def initialize(self) -> None:
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        specs = self._specs()
        wanted = {f"{spec.parent.name}.py": STUB.format(path=str(spec)) for spec in specs if self._is_broken(spec)}
        for name, text in wanted.items():
            if not (self.path / name).exists() or (self.path / name).read_text() != text:
                (self.path / name).write_text(text)
        for stale in self.path.glob("*.py"):
            if stale.name not in wanted:
                stale.unlink()
        self._looked = {spec: self._looked[spec] for spec in specs}
        self._changes.look(frozenset((spec, files) for spec, (files, _) in self._looked.items()), clock())

    def _read_again(self) -> None:
        folder = self._settings.repo / "dags"
        ask_airflow(BUNDLE, (file.relative_to(folder) for file in sorted(folder.glob("*.py"))))

    def _is_broken(self, spec: Path) -> bool:
        """Read again only when a file of its folder has changed: to read two hundred takes a second of every ten."""
        files = _files(spec.parent)
        known = self._looked.get(spec)
        if known is None or known[0] != files:
            known = self._looked[spec] = (files, _broken(spec))
        return known[1]

    def _specs(self) -> list[Path]:
        try:
            return find(self._settings.models)
        except SpecError:
            return []  # dags/lifecycle.py fails for the same reason, and shows it


def _files(folder: Path) -> Files:
    """Name, time of change (ns) and size (bytes) of all files below a folder."""
    found = set()
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # an editor's, gone meanwhile
            if path.is_file():
                stat = path.stat()
                found.add((str(path), stat.st_mtime_ns, stat.st_size))
    return frozenset(found)


def _broken(spec: Path) -> bool:
    try:
        load(spec)
    except SpecError:
        return True
    return False
