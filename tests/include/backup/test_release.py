"""The state of a release of before, as its `make backup` kept it: restored, taken along to this one's tables, and answering.

The backup is of 1 December 2026 (lifecycle's migration 0008): one champion of `digits`. A release that changes what a backup holds commits
one of its own beside it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.backup.folder import Folder
from include.backup.restore import restore
from include.backup.store import Store
from include.platform.schemas import latest, older
from include.runtime.settings import Settings
from tests.ports import free_base

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
RELEASES = sorted(Path(__file__).parent.glob("release-*.tar.xz"))
PASSPHRASE = "the passphrase of a test"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="ud-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name.partition(".")[0])
def test_the_state_of_an_earlier_release_is_taken_along(release: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(release) as archive:
        archive.extractall(short, filter="data")
    base = free_base()
    monkeypatch.setenv("UPDRAFT_PORT_BASE", str(base))
    monkeypatch.setenv("UPDRAFT_MODELS", str(short / "models"))
    settings = replace(Settings.load(), home=short / "h", port_base=base)
    manifest = restore(settings, Store(Folder(short / "store")), "", PASSPHRASE, datetime.now(UTC), lambda line: None)
    assert older(manifest.schemas)
    kept = _verdicts(settings)
    environment = os.environ | {"UPDRAFT_HOME": str(settings.home), "UPDRAFT_POINTER": str(short / "running")}
    command = [sys.executable, "-m", "include.backup", "answer"]
    done = subprocess.run(command, env=environment, cwd=settings.repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert {model: found["answered"] for model, found in answers.items()} == dict.fromkeys(manifest.champions, True), answers
    with closing(sqlite3.connect(settings.home / "airflow" / "airflow.db")) as opened:
        for table in ("alembic_version_updraft_lifecycle", "alembic_version_updraft_gpu_pool"):
            assert {row[0] for row in opened.execute(f"select version_num from {table}")} == latest("airflow", table)
    assert kept and _verdicts(settings) == kept


def _verdicts(settings: Settings) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(settings.home / "airflow" / "airflow.db")) as opened:
        return opened.execute("select entry, run_key, kind, decision, hash from updraft_verdict order by entry").fetchall()
