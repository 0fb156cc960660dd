"""Litestream itself beside a writer, both killed; what it has copied is restored."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.backup.restore import restore
from include.backup.store import Store
from include.backup.take import champions, take
from include.errors import InputError
from include.platform import continuous
from include.runtime.settings import Settings
from tests.include.backup.conftest import PASSPHRASE

NOW = datetime(2026, 12, 1, 6, tzinfo=UTC)
RPO_S = 5.0
WRITES_S = 4.0


@pytest.fixture
def litestream(platform: Settings) -> None:
    try:
        continuous.binary(platform)
    except InputError as error:
        pytest.skip(str(error))


@contextmanager
def copying(settings: Settings) -> Iterator[None]:
    """Killed at the end, as the machine's power would be."""
    (program,) = continuous.programs(settings)
    with program.log.open("ab") as log:
        process = subprocess.Popen(program.command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_no_more_than_seconds_are_lost_and_a_model_that_is_not_there_serves_nowhere(
    platform: Settings, store: Store, empty: Settings, litestream: None
) -> None:
    take(platform, store, PASSPHRASE, NOW, lambda line: None)
    continuous.choose(platform, Path(store.where) / "continuous" / "20261201T060000Z")
    database = platform.home / "airflow" / "airflow.db"
    with closing(sqlite3.connect(database)) as made:
        made.executescript("pragma journal_mode=wal; create table beat (at real);")
    with copying(platform):
        time.sleep(1.0)
        with closing(sqlite3.connect(platform.home / "mlflow" / "mlflow.db")) as registry, registry:
            registry.execute("update registered_model_aliases set version = 4 where alias = 'champion'")
        writer = os.fork()
        if writer == 0:
            with closing(sqlite3.connect(database, timeout=10)) as writing:
                while True:
                    with writing:
                        writing.execute("insert into beat values (?)", (time.time(),))
                    time.sleep(0.02)
        time.sleep(WRITES_S)
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    said: list[str] = []
    restore(empty, store, "", PASSPHRASE, NOW, said.append, latest=True)
    lost = last(database) - last(empty.home / "airflow" / "airflow.db")
    assert 0 <= lost <= RPO_S
    assert champions(empty) == {"wine": 3}
    assert any("version 4 was promoted after the backup" in line for line in said)


def last(database: Path) -> float:
    with closing(sqlite3.connect(database)) as opened:
        return float(opened.execute("select max(at) from beat").fetchone()[0])


def test_without_copies_the_latest_is_refused(platform: Settings, store: Store, empty: Settings) -> None:
    take(platform, store, PASSPHRASE, NOW, lambda line: None)
    with pytest.raises(InputError, match="nothing was copied there continuously"):
        restore(empty, store, "", PASSPHRASE, NOW, lambda line: None, latest=True)
    assert list(empty.home.iterdir()) == []


def test_it_is_refused_where_the_databases_are_postgresql(platform: Settings) -> None:
    (platform.home / "scale").write_text("scaled\n")
    with pytest.raises(InputError, match="Litestream copies SQLite"):
        continuous.choose(platform, platform.home / "x")


def test_without_its_program_it_is_refused_with_how_to_get_it(platform: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make install-litestream"):
        continuous.choose(replace(platform, runtimes=tmp_path), tmp_path / "x")
    assert continuous.chosen(platform) is None
