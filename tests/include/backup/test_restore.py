"""A backup of a small state, restored elsewhere; and what is refused before anything is touched."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.backup.databases import Sqlite
from include.backup.manifest import Manifest
from include.backup.restore import restore
from include.backup.store import Store
from include.backup.take import take
from include.errors import InputError
from include.gateway.gateway import Gateway
from include.platform import restoring
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.lease import RevisionLease
from include.serving.revision import Revision
from tests.include.backup.conftest import OLD_BASE, PASSPHRASE, contents

NOW = datetime(2026, 12, 1, 6, tzinfo=UTC)


def silent(line: str) -> None:
    return


def backed_up(platform: Settings, store: Store) -> Manifest:
    return take(platform, store, PASSPHRASE, NOW, silent)


def restored(empty: Settings, store: Store, name: str = "", passphrase: str = PASSPHRASE) -> Manifest:
    return restore(empty, store, name, passphrase, NOW, silent)


def asked(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as opened:
        return opened.execute(query).fetchall()


def test_all_state_comes_back(platform: Settings, store: Store, empty: Settings) -> None:
    backed_up(platform, store)
    restored(empty, store)
    assert Credentials.load(empty.home) == Credentials.load(platform.home)
    for folder in ("mlflow/artifacts", "dvc", "dvc-remote"):
        assert contents(empty.home / folder) == contents(platform.home / folder)
    assert asked(empty.home / "mlflow" / "mlflow.db", "select * from registered_model_aliases") == [("wine", "champion", 3)]
    assert not (empty.home / restoring.FOLDER).exists()
    assert json.loads((empty.home / "usage.json").read_text()) == {"cursor": {"inode": 0, "offset": 0}, "rows": [1]}


def test_nothing_of_the_users_is_left_out_by_its_name_and_permissions_and_empty_folders_come_back(
    platform: Settings, store: Store, empty: Settings
) -> None:
    artifacts = platform.home / "mlflow" / "artifacts" / "2"
    for name in ("counts.json", "requirements.lock", "private.key", "half.part", "tmp/x", "scratch/y", ".locks/z", "__pycache__/a.pyc"):
        (artifacts / name).parent.mkdir(parents=True, exist_ok=True)
        (artifacts / name).write_text(name)
    (artifacts / "tmp" / "x").chmod(0o755)
    (platform.home / "data" / "incoming").mkdir(parents=True)
    (platform.revisions / "wine" / "3" / "repository" / "1").mkdir()
    (platform.revisions / "wine" / "3" / "scratch").mkdir()
    (platform.revisions / "wine" / "3" / "scratch" / "made-anew").write_text("")
    backed_up(platform, store)
    restored(empty, store)
    assert contents(empty.home / "mlflow" / "artifacts") == contents(platform.home / "mlflow" / "artifacts")
    assert (empty.home / "mlflow" / "artifacts" / "2" / "tmp" / "x").stat().st_mode & 0o777 == 0o755
    assert (empty.home / "data" / "incoming").is_dir() and (empty.revisions / "wine" / "3" / "repository" / "1").is_dir()
    assert not (empty.revisions / "wine" / "3" / "scratch").exists()


def test_the_ledger_of_budgets_comes_back_with_what_is_in_its_log_alone(platform: Settings, store: Store, empty: Settings) -> None:
    ledger = platform.home / "budgets" / "ledger.sqlite"
    ledger.parent.mkdir()
    with closing(sqlite3.connect(ledger)) as writer:
        writer.executescript("pragma journal_mode=wal; create table spent (usd real); insert into spent values (7);")
        writer.executescript("create table place (one integer, inode integer, offset integer); insert into place values (1, 7, 99);")
        backed_up(platform, store)
    restored(empty, store)
    assert asked(empty.home / "budgets" / "ledger.sqlite", "select usd from spent") == [(7.0,)]
    place = asked(empty.home / "budgets" / "ledger.sqlite", "select inode, offset from place")
    assert place == [(0, 0)], "another home's log may have the same inode, and what is before the offset would never count"


def test_what_was_under_way_is_ended_and_the_champion_has_all_traffic(platform: Settings, store: Store, empty: Settings) -> None:
    backed_up(platform, store)
    restored(empty, store)
    database = empty.home / "airflow" / "airflow.db"
    assert asked(database, "select id, state from dag_run") == [(1, "success"), (2, "failed"), (3, "failed")]
    assert asked(database, "select id, state, trigger_id from task_instance") == [
        ("a", "success", None),
        ("b", "failed", None),
        ("c", None, None),
    ]
    assert asked(database, "select id from trigger") == [(2,)]
    assert asked(database, "select version, state from updraft_revision") == [(3, "RUNNING"), (4, "STOPPED"), (2, "STOPPED")]
    assert asked(database, "select version from updraft_desired") == [(3,)]
    split = Gateway(empty).split("wine")
    assert split is not None and dict(split.weights) == {"3": 100}
    assert list(Gateway(empty).revisions("wine")) == ["3"]
    assert not (empty.revisions / "wine" / "4").exists()


def test_a_version_that_is_promoted_while_the_databases_are_copied_is_the_champion_everywhere(
    platform: Settings, store: Store, empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, dump = [], Sqlite.dump

    def promoted_after_the_first(self: Sqlite, work: Path) -> dict[str, Path]:
        found = dump(self, work)
        copied.append(work)
        with closing(sqlite3.connect(platform.home / "mlflow" / "mlflow.db")) as mlflow:
            mlflow.executescript("update registered_model_aliases set version = 4 where alias = 'champion'")
        return found

    monkeypatch.setattr(Sqlite, "dump", promoted_after_the_first)
    assert backed_up(platform, store).champions == {"wine": 4} and len(copied) == 2
    restored(empty, store)
    assert asked(empty.home / "mlflow" / "mlflow.db", "select version from registered_model_aliases") == [(4,)]
    assert list(Gateway(empty).revisions("wine")) == ["4"]


def test_servers_move_with_the_port_base_and_ask_for_their_gpu_again(
    platform: Settings, store: Store, empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up(platform, store)
    monkeypatch.setenv("UPDRAFT_PORT_BASE", "8000")
    restored(empty, store)
    revision = Revision.read(empty.revisions / "wine" / "3")
    assert revision is not None and revision.ports == (8100, 8101)
    assert Gateway(empty).revisions("wine")["3"].port == 8100
    lease = RevisionLease.read(empty.revisions / "wine" / "3")
    assert lease is not None and not lease.held and lease.key == "revision/wine"


def test_without_other_ports_it_has_those_of_before(platform: Settings, store: Store, empty: Settings) -> None:
    backed_up(platform, store)
    restored(empty, store)
    assert (empty.home / "port-base").read_text() == f"{OLD_BASE}\n"
    assert Gateway(empty).revisions("wine")["3"].port == OLD_BASE + 100


def test_nothing_secret_is_readable_in_a_backup(platform: Settings, store: Store) -> None:
    backed_up(platform, store)
    credentials = Credentials.load(platform.home)
    kept = b"".join(path.read_bytes() for path in Path(store.where).rglob("*") if path.is_file())
    for secret in (credentials.mlflow_password, credentials.airflow_fernet_key, credentials.api_keys["demo"], credentials.probe_secret):
        assert secret.encode() not in kept
    assert all(
        path.stat().st_mode & 0o077 == 0
        for path in [Path(store.where), *Path(store.where).rglob("*")]
        if not path.is_dir() or path == Path(store.where)
    )


def test_what_did_not_change_is_kept_once(platform: Settings, store: Store) -> None:
    backed_up(platform, store)
    before = contents(Path(store.where) / "objects")
    backed_up(platform, store)
    assert contents(Path(store.where) / "objects").keys() - before.keys() == set()
    assert len(store.names()) == 2


def test_a_spec_that_is_missing_here_is_restored_and_one_that_differs_stays(platform: Settings, store: Store, empty: Settings) -> None:
    (platform.models / "beer").mkdir()
    (platform.models / "beer" / "model.yaml").write_text("name: beer\n")
    backed_up(platform, store)
    shutil.rmtree(platform.models / "beer")
    (platform.models / "wine" / "model.yaml").write_text("name: wine\nowner: me\n")
    restored(empty, store)
    assert (platform.models / "beer" / "model.yaml").read_text() == "name: beer\n"
    assert (platform.models / "wine" / "model.yaml").read_text() == "name: wine\nowner: me\n"
    assert (empty.home / "restored-specs" / "wine" / "model.yaml").read_text() == "name: wine\n"


def _damage(store: Store, manifest: Manifest) -> None:
    path = max(Path(store.where, "objects").glob("??/*"), key=lambda one: one.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def _lose(store: Store, manifest: Manifest) -> None:
    next(Path(store.where, "objects").glob("??/*")).unlink()


def _unfinish(store: Store, manifest: Manifest) -> None:
    Path(store.where, "backups", manifest.name, "manifest.json").unlink()


def _forge(store: Store, manifest: Manifest) -> None:
    store.finish(replace(manifest, champions={"wine": 4}))


def _newer(store: Store, manifest: Manifest) -> None:
    path = Path(store.where, "backups", manifest.name, "manifest.json")
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))


def _foreign(store: Store, manifest: Manifest) -> None:
    Path(store.where, "updraft-backups.json").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_damage, "is not what was backed up"),
        (_lose, "is missing"),
        (_unfinish, "no finished backup"),
        (_forge, "its manifest was changed"),
        (_newer, "newer Updraft"),
        (_foreign, "holds no backups of Updraft"),
    ],
)
def test_a_backup_that_is_none_is_refused_and_nothing_is_touched(
    platform: Settings, store: Store, empty: Settings, harm: Callable[[Store, Manifest], None], said: str
) -> None:
    harm(store, backed_up(platform, store))
    with pytest.raises(InputError, match=said):
        restored(empty, store)
    assert not empty.home.exists() or not list(empty.home.iterdir())


def test_another_passphrase_is_refused(platform: Settings, store: Store, empty: Settings) -> None:
    backed_up(platform, store)
    with pytest.raises(InputError, match="passphrase"):
        restored(empty, store, passphrase="an entirely other one")
    assert not empty.home.exists()


def test_a_database_of_a_newer_release_is_refused(platform: Settings, store: Store, empty: Settings) -> None:
    with closing(sqlite3.connect(platform.home / "airflow" / "airflow.db")) as opened:
        opened.execute("update alembic_version_updraft_lifecycle set version_num = '9999'")
        opened.commit()
    backed_up(platform, store)
    with pytest.raises(InputError, match="database airflow is newer"):
        restored(empty, store)
    assert not empty.home.exists()


def test_a_home_with_state_is_refused_and_stays_as_it_was(platform: Settings, store: Store, empty: Settings) -> None:
    backed_up(platform, store)
    before = contents(platform.home)
    with pytest.raises(InputError, match="holds a platform's state"):
        restored(platform, store)
    assert contents(platform.home) == before


def test_runtimes_and_tools_are_no_state(platform: Settings, store: Store, empty: Settings) -> None:
    backed_up(platform, store)
    (empty.home / "runtimes" / "airflow").mkdir(parents=True)
    restored(empty, store)
    assert (empty.home / "runtimes" / "airflow").is_dir()


def test_an_unknown_name_is_refused_with_those_that_there_are(platform: Settings, store: Store, empty: Settings) -> None:
    name = backed_up(platform, store).name
    with pytest.raises(InputError, match=name):
        restored(empty, store, name="20200101T000000Z-000000")
