"""Brings the databases of an earlier release to this one's tables. Each part may be repeated, and killed in between."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from include.errors import ComponentError
from include.platform import airflow, scale
from include.platform.schemas import latest
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings

Say = Callable[[str], None]
TAIL_LINES = 15
URL = "UPDRAFT_MLFLOW_URL"
"""MLflow's database, which may hold a password: a command line would show it."""
UPGRADE = f"import os; from mlflow.db import commands; commands(['upgrade', os.environ['{URL}']])"


def migrate(settings: Settings, say: Say) -> None:
    """`airflow db migrate`, and MLflow's own, when the environment or the plugins' migrations have changed since the last time. What MLflow
    asks logins by it migrates itself. Raises ComponentError with the tool's last words."""
    if stamp(settings).exists() and stamp(settings).read_text() == digest(settings):
        return
    say("  preparing Airflow's database")
    command = [str(settings.python("airflow").parent / "airflow"), "db", "migrate"]
    _call(command, airflow.environment(settings), settings, "`airflow db migrate`")
    url = scale.databases(settings, Credentials.load(settings.home)).mlflow
    if (found := version(url)) and found not in latest("mlflow", "alembic_version"):
        say("  migrating MLflow's database")
        environment = airflow.environment(settings) | settings.s3_environment | {URL: url}
        _call([str(settings.python("airflow")), "-c", UPGRADE], environment, settings, "`mlflow db upgrade`")
    stamp(settings).write_text(digest(settings))


def digest(settings: Settings) -> str:
    """Return what says which tables this release has."""
    found = hashlib.sha256((settings.repo / "requirements.lock").read_bytes())
    found.update(airflow.DB_MANAGERS.encode())
    for migration in sorted((settings.repo / "plugins").glob("*/db/migrations/versions/*.py")):
        found.update(migration.name.encode())
    return found.hexdigest()


def stamp(settings: Settings) -> Path:
    """Return where it stands what the tables were last migrated to; absent before the first start."""
    return settings.home / "airflow" / "migrated"


def version(url: str) -> str:
    """Return how far MLflow's tables are; "" where there are none yet."""
    from sqlalchemy import create_engine, inspect, text

    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return ""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return ""
            return str(connection.execute(text("select version_num from alembic_version")).scalar() or "")
    finally:
        engine.dispose()


def _call(command: Sequence[str], environment: Mapping[str, str], settings: Settings, what: str) -> None:
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, cwd=settings.repo, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()[-TAIL_LINES:]
        raise ComponentError(f"{what} failed:\n" + "\n".join(lines), where="databases")
