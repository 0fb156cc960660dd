"""Which migrations are known, and MLflow's own database taken along from an earlier one."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from include.platform import airflow
from include.platform.migrate import UPGRADE, URL, version
from include.platform.schemas import PLACES, insist_known, known, latest, older

EARLIER = """
import sys
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
import sqlalchemy
engine = sqlalchemy.create_engine(sys.argv[1])
Base.metadata.create_all(engine)
command.upgrade(_get_alembic_config(sys.argv[1]), sys.argv[2])
"""
LONG_AGO = "17e22815139b"


def test_every_plugins_tables_are_among_those_that_are_looked_at() -> None:
    for name in airflow.DB_MANAGERS.split(","):
        module, _, manager = name.rpartition(".")
        assert ("airflow", getattr(importlib.import_module(module), manager).version_table_name) in PLACES


@pytest.mark.parametrize("place", PLACES, ids="/".join)
def test_each_table_has_one_latest_migration(place: tuple[str, str]) -> None:
    assert len(latest(*place)) == 1 and latest(*place) < known(*place)


def test_a_database_is_older_when_any_of_its_tables_is_behind_or_missing() -> None:
    now: dict[str, dict[str, str]] = {}
    for name, table in PLACES:
        now.setdefault(name, {})[table] = next(iter(latest(name, table)))
    assert older(now) == []
    insist_known(now, "here")
    assert older(now | {"mlflow": {"alembic_version": LONG_AGO}}) == ["mlflow"]
    del now["airflow"]["alembic_version_updraft_gpu_pool"]
    assert older(now) == ["airflow"]


def test_mlflows_database_of_an_earlier_release_is_migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert version(url) == ""
    subprocess.run([sys.executable, "-c", EARLIER, url, LONG_AGO], check=True, capture_output=True)
    assert version(url) == LONG_AGO and LONG_AGO in known("mlflow", "alembic_version")
    subprocess.run([sys.executable, "-c", UPGRADE], env={URL: url, "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)
    assert {version(url)} == latest("mlflow", "alembic_version")
