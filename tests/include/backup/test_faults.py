"""Killed at any moment, a full disk, a database that is locked, gone or damaged: what was there is as it was, and the next try succeeds."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.backup import sqlite
from include.backup.folder import Folder
from include.backup.restore import restore
from include.backup.store import Store
from include.backup.take import take
from include.errors import ComponentError, InputError, UpdraftError
from include.platform import restoring
from include.runtime.settings import Settings
from tests.include.backup.conftest import PASSPHRASE, contents

NOW = datetime(2026, 12, 1, 6, tzinfo=UTC)
KILLS = 12


def silent(line: str) -> None:
    return


def child(work: Callable[[], object], kill_after_s: float | None) -> bool:
    """Do the work in a process of its own, killed after so long; whether it came to its end."""
    process = os.fork()
    if process == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return status == 0


def moments(work: Callable[[], object]) -> list[float]:
    """Moments that are spread over the time that the work takes."""
    started = time.monotonic()
    assert child(work, None)
    took = time.monotonic() - started
    return [took * number / KILLS for number in range(1, KILLS)]


def test_a_backup_that_is_killed_is_none_and_the_next_one_is_whole(platform: Settings, store: Store, tmp_path: Path) -> None:
    def back_up() -> None:
        take(platform, store, PASSPHRASE, datetime.now(UTC), silent)

    before = contents(platform.home)
    for moment in moments(back_up):
        child(back_up, moment)
    back_up()
    for number, name in enumerate(one for one in store.names() if store.manifest(one) is not None):
        home = replace(platform, home=tmp_path / f"r{number}")
        restore(home, store, name, PASSPHRASE, NOW, silent)
        assert contents(home.home / "mlflow" / "artifacts") == contents(platform.home / "mlflow" / "artifacts")
    assert {path: digest for path, digest in contents(platform.home).items() if not path.startswith("backup/")} == before


def test_a_restore_that_is_killed_has_done_nothing_or_goes_on(platform: Settings, store: Store, tmp_path: Path) -> None:
    take(platform, store, PASSPHRASE, NOW, silent)
    whole = replace(platform, home=tmp_path / "whole")

    def into(settings: Settings) -> Callable[[], object]:
        return lambda: restore(settings, store, "", PASSPHRASE, NOW, silent)

    cut = 0
    for number, moment in enumerate(moments(into(whole))):
        home = replace(platform, home=tmp_path / f"r{number}")
        if not child(into(home), moment) and (home.home / restoring.FOLDER).exists():
            cut += 1
            with pytest.raises(InputError, match="cut short"):
                restoring.insist_done(home)
        if not (home.home / restoring.RESTORED).exists() or (home.home / restoring.FOLDER).exists():
            into(home)()
        restoring.insist_done(home)
        assert contents(home.home).keys() == contents(whole.home).keys()
    assert cut, "no kill met a restore at work"


def test_another_backup_is_not_mixed_into_a_restore_that_was_cut_short(platform: Settings, store: Store, empty: Settings) -> None:
    first = take(platform, store, PASSPHRASE, NOW, silent)
    second = take(platform, store, PASSPHRASE, NOW, silent)
    (empty.home / restoring.FOLDER).mkdir(parents=True)
    (empty.home / restoring.FOLDER / "ready").write_text(first.name)
    with pytest.raises(InputError, match=f"the restore of {first.name} was cut short"):
        restore(empty, store, second.name, PASSPHRASE, NOW, silent)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root mounts a disk that is full")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_leaves_the_backups_of_before(platform: Settings, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "300k"):
        target = Store(Folder(tmp_path / "disk" / "store"))
        first = take(platform, target, PASSPHRASE, NOW, silent)
        (platform.home / "mlflow" / "artifacts" / "1" / "large").write_bytes(os.urandom(400_000))
        with pytest.raises(ComponentError, match=r"could not be written.*No space left.*Make room"):
            take(platform, target, PASSPHRASE, NOW, silent)
        assert [name for name in target.names() if target.manifest(name)] == [first.name]
        restore(replace(platform, home=tmp_path / "other"), target, "", PASSPHRASE, NOW, silent)


def test_a_restore_onto_a_disk_that_is_too_small_is_refused_first(platform: Settings, store: Store, tmp_path: Path) -> None:
    take(platform, store, PASSPHRASE, NOW, silent)
    with small_disk(tmp_path / "disk", "40k"):
        with pytest.raises(UpdraftError, match="MB left, and the backup needs"):
            restore(replace(platform, home=tmp_path / "disk" / "home"), store, "", PASSPHRASE, NOW, silent)
        assert list((tmp_path / "disk" / "home").iterdir()) == []


def test_a_locked_database_is_waited_for_then_named(platform: Settings, tmp_path: Path) -> None:
    database = platform.home / "mlflow" / "mlflow.db"
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("begin exclusive")
        with pytest.raises(ComponentError, match=r"mlflow.db: somebody has kept the database locked for 0.5 s"):
            sqlite.copy(database, tmp_path / "copy", locked_s=0.5)
        writer.rollback()
    sqlite.copy(database, tmp_path / "again", locked_s=0.5)


def test_a_database_that_is_written_to_is_copied_at_one_moment(tmp_path: Path) -> None:
    database = tmp_path / "busy.db"
    with closing(sqlite3.connect(database)) as made:
        made.executescript("pragma journal_mode=wal; create table pair (one integer, other integer); insert into pair values (0, 0);")

    def write() -> None:
        with closing(sqlite3.connect(database, timeout=10)) as writer:
            while True:
                with writer:
                    writer.execute("update pair set one = one + 1")
                    writer.execute("update pair set other = other + 1")

    process = os.fork()
    if process == 0:
        write()
    try:
        seen = set()
        for number in range(20):
            sqlite.copy(database, tmp_path / f"copy{number}")
            with closing(sqlite3.connect(tmp_path / f"copy{number}")) as opened:
                one, other = opened.execute("select one, other from pair").fetchone()
            assert one == other
            seen.add(one)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert len(seen) > 1, "nobody wrote meanwhile"


def test_rows_in_a_killed_writers_log_are_in_the_copy(tmp_path: Path) -> None:
    database = tmp_path / "wal.db"
    ready, told = os.pipe()
    process = os.fork()
    if process == 0:
        writer = sqlite3.connect(database)
        writer.executescript("pragma journal_mode=wal; create table t (a); insert into t values (1);")
        os.write(told, b"!")
        time.sleep(60)
    os.read(ready, 1)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert Path(f"{database}-wal").stat().st_size
    sqlite.copy(database, tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy")) as opened:
        assert opened.execute("select a from t").fetchall() == [(1,)]


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_database_that_is_gone_or_damaged_is_named_and_no_backup_is_made(platform: Settings, store: Store, harm: str) -> None:
    database = platform.home / "airflow" / "airflow.db"
    if harm == "gone":
        database.unlink()
    else:
        data = bytearray(database.read_bytes())
        data[4096:4500] = b"\xff" * 404
        database.write_bytes(data)
    with pytest.raises(UpdraftError, match=r"airflow.db: .*(gone|damaged|malformed)"):
        take(platform, store, PASSPHRASE, NOW, silent)
    assert not [name for name in store.names() if store.manifest(name)]


def test_a_link_to_a_folder_is_not_followed_and_is_told(platform: Settings, store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (platform.home / "data").mkdir()
    (platform.home / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    said: list[str] = []
    manifest = take(platform, store, PASSPHRASE, NOW, said.append)
    assert any("data/linked: a link to a folder" in sentence for sentence in manifest.left_out)
    assert any("NOT IN IT" in line and "data/linked" in line for line in said)


def test_what_lies_in_the_home_and_nobody_knows_is_told(platform: Settings, store: Store) -> None:
    assert not [line for line in take(platform, store, PASSPHRASE, NOW, silent).left_out if "nothing here knows" in line]
    (platform.home / "new-thing.json").write_text("{}")
    assert "new-thing.json in the home: nothing here knows what it is" in take(platform, store, PASSPHRASE, NOW, silent).left_out


def test_artifacts_in_a_bucket_are_told_not_to_be_in_it(platform: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPDRAFT_ARTIFACTS", "s3://somewhere/artifacts")
    said: list[str] = []
    take(platform, store, PASSPHRASE, NOW, said.append)
    assert any("NOT IN IT: artifacts: in s3://somewhere/artifacts" in line for line in said)


def test_a_folder_that_may_not_be_read_is_no_backup(platform: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.scandir

    def scandir(path: str) -> object:  # root may read everything
        if str(path).endswith("artifacts/1"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ComponentError, match=r"Permission denied: .*artifacts/1"):
        take(platform, store, PASSPHRASE, NOW, silent)
    assert not [name for name in store.names() if store.manifest(name)]


def test_two_at_once_are_refused(platform: Settings) -> None:
    from include.backup.take import alone

    with alone(platform), pytest.raises(InputError, match="another backup is under way"), alone(platform):
        pass
