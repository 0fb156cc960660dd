import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from tests.dags.conftest import alone

__all__ = ["alone"]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Airflow's tables and the plugin's, made once."""
    from airflow.models import import_all_models
    from airflow.models.base import Base as AirflowBase

    from lifecycle.db.models import Base

    import_all_models()
    path = tmp_path_factory.mktemp("empty") / "airflow.db"
    engine = create_engine(f"sqlite:///{path}")
    for base in (AirflowBase, Base):
        base.metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture
def engine(empty: Path, tmp_path: Path) -> Iterator[Engine]:
    """Of a copy of it."""
    shutil.copy(empty, tmp_path / "airflow.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'airflow.db'}")
    yield engine
    engine.dispose()
