"""Airflow imports every Python file below its plugins folder, in each of its processes, unless told."""

from include.runtime.settings import REPO

PLUGINS = REPO / "plugins"


def test_only_entry_files_are_imported() -> None:
    ignored = {line.strip() for line in (PLUGINS / ".airflowignore").read_text().splitlines()}
    packages = {f"{path.parent.relative_to(PLUGINS).parts[0]}/" for path in PLUGINS.glob("*/*.py")}
    assert packages <= ignored
