"""Which migrations this installation knows: a database of a newer one is refused, one of an older one is taken along.

Read out of the files' text: to import MLflow or Airflow for it would take seconds.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from include.errors import InputError
from include.runtime.settings import REPO

PREFIX = "alembic_version"
"""Begins the names of the tables that say how far a database's migrations are (Alembic's)."""
_REVISION = re.compile(r"""^revision(?:\s*:\s*str)?\s*=\s*["']([^"']+)["']""", re.MULTILINE)
_BEFORE = re.compile(r"""^down_revision(?:\s*:[^=\n]+)?\s*=\s*(.+)$""", re.MULTILINE)
PLACES = {
    ("airflow", "alembic_version"): ("airflow", "migrations/versions"),
    ("airflow", "alembic_version_updraft_lifecycle"): ("", "plugins/lifecycle/db/migrations/versions"),
    ("airflow", "alembic_version_updraft_gpu_pool"): ("", "plugins/gpu_pool/db/migrations/versions"),
    ("mlflow", "alembic_version"): ("mlflow", "store/db_migrations/versions"),
    ("mlflow_auth", "alembic_version_auth"): ("mlflow", "server/auth/db/migrations/versions"),
}
"""(database, its table of versions) → package ("": this repository), and the folder of migrations in it."""


def known(database: str, table: str) -> set[str]:
    """Return the versions that this installation can migrate from; empty for a table that nobody here keeps."""
    return {found for text in _texts(database, table) for found in _REVISION.findall(text)}


def latest(database: str, table: str) -> set[str]:
    """Return the versions after which no migration comes: one, where all is well."""
    before = " ".join(found for text in _texts(database, table) for found in _BEFORE.findall(text))
    return {version for version in known(database, table) if f'"{version}"' not in before and f"'{version}'" not in before}


def older(schemas: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the databases that are to be migrated."""
    return sorted({name for name, table in PLACES if schemas.get(name, {}).get(table) not in latest(name, table)})


def _texts(database: str, table: str) -> list[str]:
    """The migrations of one table of versions."""
    package, folder = PLACES.get((database, table), ("", ""))
    roots = [REPO]
    if package:
        spec = importlib.util.find_spec(package)
        roots = [Path(root) for root in (spec.submodule_search_locations or ()) if spec] if spec else []
    if not folder:
        return []
    return [file.read_text() for root in roots for file in (root / folder).glob("*.py")]


def insist_known(schemas: Mapping[str, Mapping[str, str]], where: str) -> None:
    """Raise InputError for databases of a newer Updraft, Airflow or MLflow than this one."""
    for database, tables in schemas.items():
        for table, version in tables.items():
            if version not in known(database, table):
                what = f"its database {database} is newer than this Updraft: nothing here knows migration {version!r:.60} of {table}."
                raise InputError(what, where=where, remedy="Restore it with the Updraft that made it, or a later one.")
