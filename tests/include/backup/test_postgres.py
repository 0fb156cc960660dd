"""A scaled platform's databases, by PostgreSQL's own tools."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from include.backup.databases import ORDER, databases, engine, schemas
from include.errors import InputError
from include.platform import postgres, scale
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def place() -> Iterator[Path]:
    try:
        postgres.binaries(Path("/none"))
    except InputError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="ud-"))
    folder.chmod(0o711)  # PostgreSQL, which does not run as root, passes through
    yield folder
    shutil.rmtree(folder)


@contextmanager
def scaled(home: Path, credentials: Credentials | None = None) -> Iterator[Settings]:
    settings = replace(Settings.load(), home=home)
    home.mkdir(mode=0o711)
    (home / "scale").write_text("scaled\n")
    if credentials is not None:
        (home / "credentials.json").write_text(json.dumps(vars(credentials)))
    Credentials.load_or_create(home)
    yield settings


def test_tables_come_back_into_an_empty_home(place: Path) -> None:
    with scaled(place / "a") as before:
        data, host = scale.postgres_data(before), scale.postgres_host(before)
        passwords = Credentials.load(before.home).database_passwords
        postgres.initialise(postgres.binaries(data), data, "postgres", passwords["postgres"])
        postgres.make_socket_folder(Path(host))
        work = place / "work"
        work.mkdir()
        with databases(before).opened():
            postgres.provide(host, before.postgres_port, "postgres", passwords, scale.OWNERS)
            for number, name in enumerate(ORDER):
                with engine(before, name) as opened, opened.begin() as connection:
                    connection.execute(text("create table alembic_version (version_num text)"))
                    connection.execute(text("insert into alembic_version values (:version)"), {"version": f"v{number}"})
            kept = schemas(before)
            assert list(databases(before).dump(work)) == list(ORDER)
    with scaled(place / "b", Credentials.load(before.home)) as after:
        databases(after).load(work)
        with databases(after).opened():
            assert schemas(after) == kept == {name: {"alembic_version": f"v{number}"} for number, name in enumerate(ORDER)}
