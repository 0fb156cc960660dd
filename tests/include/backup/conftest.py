"""A small platform's state, made by hand: databases, a champion and a canary at the gateway, artifacts, data, specs."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from include.backup import seal
from include.backup.folder import Folder
from include.backup.store import Store
from include.gateway.endpoint import Endpoint
from include.gateway.gateway import Gateway
from include.gateway.table import Table
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.lease import RevisionLease
from include.serving.revision import Revision

PASSPHRASE = "correct horse battery"
OLD_BASE = 20000
AIRFLOW = """
create table alembic_version (version_num text);
insert into alembic_version values ('{airflow}');
create table alembic_version_updraft_lifecycle (version_num text);
insert into alembic_version_updraft_lifecycle values ('0008');
create table trigger (id integer primary key, classpath text);
insert into trigger values (1, 'lifecycle.triggers.canary'), (2, 'asset');
create table asset_trigger (asset_id integer, trigger_id integer references trigger (id));
insert into asset_trigger values (1, 2);
create table dag_run (id integer primary key, state text, end_date timestamp);
insert into dag_run values (1, 'success', '2026-11-30 00:00:00'), (2, 'running', null), (3, 'queued', null);
create table task_instance (id text primary key, state text, end_date timestamp, trigger_id integer);
insert into task_instance values ('a', 'success', null, null), ('b', 'deferred', null, 1), ('c', null, null, null);
create table updraft_revision (model text, version integer, state text, message text, updated_at timestamp);
insert into updraft_revision values ('wine', 3, 'RUNNING', '', null), ('wine', 4, 'RUNNING', '', null), ('wine', 2, 'STOPPED', '', null);
create table updraft_desired (model text, version integer, wanted text);
insert into updraft_desired values ('wine', 3, 'running'), ('wine', 4, 'running');
"""
MLFLOW = """
create table alembic_version (version_num text);
insert into alembic_version values ('{mlflow}');
create table registered_model_aliases (name text, alias text, version integer);
insert into registered_model_aliases values ('wine', 'champion', 3), ('wine', 'challenger', 4);
"""
AUTH = "create table alembic_version_auth (version_num text); insert into alembic_version_auth values ('8606fa83a998');"


def head(database: str) -> str:
    """Return a migration that this installation knows."""
    from include.platform.schemas import known

    return sorted(known(database, "alembic_version"))[0]


def write_state(settings: Settings) -> None:
    """Make the state of a platform that has one champion, and a trial under way."""
    home = settings.home
    for name in ("airflow", "mlflow", "mlflow/artifacts/1", "dvc/wine", "dvc-remote/files", "envoy", "logs"):
        (home / name).mkdir(parents=True)
    Credentials.load_or_create(home)
    _database(home / "airflow" / "airflow.db", AIRFLOW.format(airflow=head("airflow")))
    _database(home / "mlflow" / "mlflow.db", MLFLOW.format(mlflow=head("mlflow")))
    _database(home / "mlflow" / "auth.db", AUTH)
    (home / "mlflow" / "artifacts" / "1" / "model.onnx").write_bytes(b"weights" * 1000)
    (home / "dvc" / "wine" / "a.dvc").write_text("outs: []\n")
    (home / "dvc-remote" / "files" / "0a").write_bytes(b"rows" * 1000)
    (home / "usage.json").write_text(json.dumps({"cursor": {"inode": 7, "offset": 99}, "rows": [1]}))
    (settings.models / "wine").mkdir(parents=True)
    (settings.models / "wine" / "model.yaml").write_text("name: wine\n")
    table = Table()
    for version, port in ((3, 100), (4, 102)):
        revision = Revision("wine", str(version), "127.0.0.1", OLD_BASE + port, OLD_BASE + port + 1, 0, f"digest{version}")
        folder = settings.revisions / "wine" / str(version)
        (folder / "repository").mkdir(parents=True)
        (folder / "repository" / "model.onnx").write_bytes(b"weights" * 1000)
        revision.save(folder)
        RevisionLease("revision/wine", {}, "lease-1", 4, environment={"CUDA_VISIBLE_DEVICES": "0"}).save(folder)
        table = table.add(Endpoint("wine", str(version), revision.http_port))
    Gateway(settings).put_table(table.split("wine", {"3": 90, "4": 10}))


def _database(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as made:
        made.executescript(script)


def contents(folder: Path) -> Mapping[str, str]:
    """Return path → digest of all files below a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The state's settings."""
    monkeypatch.setenv("UPDRAFT_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("UPDRAFT_PORT_BASE", raising=False)
    monkeypatch.setattr(seal, "WORK", 2**10)  # a passphrase's cost is test_seal's affair
    settings = replace(Settings.load(), home=tmp_path / "home", port_base=OLD_BASE)
    write_state(settings)
    return settings


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Folder(tmp_path / "store"))


@pytest.fixture
def empty(tmp_path: Path, platform: Settings) -> Settings:
    """Another home, in which nothing is yet."""
    return replace(platform, home=tmp_path / "other", port_base=8000)
