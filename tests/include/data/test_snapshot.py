"""Snapshots in a real DVC repository: exact, repeatable, and safe against what may happen meanwhile."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.data.snapshot import Snapshot, restore, snapshot
from include.data.store import DataStore
from include.errors import ComponentError, InputError
from include.runtime.settings import REPO

BYTES = b"a,b\r\n1,2\n\xff\x00"
"""Not even UTF-8: a snapshot keeps bytes."""


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path / "dvc", str(tmp_path / "remote"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(BYTES)
    return path


def remote_file(store: DataStore, md5: str) -> Path:
    return Path(store.remote) / "files" / "md5" / md5[:2] / md5[2:]


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)  # DVC keeps its contents read-only
    path.write_bytes(content)


def test_a_snapshot_is_named_by_the_hash_of_its_bytes(store: DataStore, table: Path) -> None:
    md5 = hashlib.md5(BYTES).hexdigest()
    assert snapshot(table, store, name="wine") == Snapshot(md5, len(BYTES), "wine.csv")
    assert table.read_bytes() == BYTES and not table.is_symlink()


def test_the_exact_bytes_come_back(store: DataStore, table: Path, tmp_path: Path) -> None:
    md5 = snapshot(table, store, name="wine").md5
    assert restore(md5, store, tmp_path / "new" / "back.csv").read_bytes() == BYTES


def test_they_come_back_from_the_remote_when_everything_here_is_lost(store: DataStore, table: Path, tmp_path: Path) -> None:
    md5 = snapshot(table, store, name="wine").md5
    shutil.rmtree(store.folder)
    assert restore(md5, store, tmp_path / "back.csv").read_bytes() == BYTES


def test_a_second_snapshot_of_the_same_bytes_changes_nothing(store: DataStore, table: Path) -> None:
    first = snapshot(table, store, name="wine")
    kept = remote_file(store, first.md5).stat()
    assert snapshot(table, store, name="wine") == first
    assert remote_file(store, first.md5).stat().st_mtime_ns == kept.st_mtime_ns


def test_older_snapshots_stay(store: DataStore, table: Path, tmp_path: Path) -> None:
    old = snapshot(table, store, name="wine")
    table.write_text("a,b\n3,4\n")
    new = snapshot(table, store, name="wine")
    assert new.md5 != old.md5 and restore(old.md5, store, tmp_path / "old.csv").read_bytes() == BYTES


def test_dvc_itself_can_pull_a_snapshot(store: DataStore, table: Path) -> None:
    md5 = snapshot(table, store, name="wine").md5
    shutil.rmtree(store.folder / ".dvc" / "cache")
    subprocess.run([sys.executable, "-m", "dvc", "pull", "-q", f"{md5}.csv.dvc"], cwd=store.folder / "wine", check=True)
    assert (store.folder / "wine" / f"{md5}.csv").read_bytes() == BYTES


def test_a_damaged_cache_is_healed_from_the_remote(store: DataStore, table: Path, tmp_path: Path) -> None:
    md5 = snapshot(table, store, name="wine").md5
    damage(store.folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:], b"rotten")
    assert restore(md5, store, tmp_path / "back.csv").read_bytes() == BYTES


def test_a_damaged_remote_is_told_and_nothing_is_written(store: DataStore, table: Path, tmp_path: Path) -> None:
    md5 = snapshot(table, store, name="wine").md5
    damage(remote_file(store, md5), BYTES[::-1])
    shutil.rmtree(store.folder)
    with pytest.raises(ComponentError, match=f"the snapshot {md5} is damaged"):
        restore(md5, store, tmp_path / "back.csv")
    assert not (tmp_path / "back.csv").exists()


def test_a_torn_upload_is_replaced_by_the_next_snapshot(store: DataStore, table: Path) -> None:
    md5 = snapshot(table, store, name="wine").md5
    damage(remote_file(store, md5), BYTES[:3])
    snapshot(table, store, name="wine")
    assert remote_file(store, md5).read_bytes() == BYTES


@pytest.mark.parametrize("md5", ["0" * 32, "x", "", "../../etc/passwd", "0" * 32 + ".dir"])
def test_a_hash_that_nothing_has_is_an_input_error(store: DataStore, tmp_path: Path, md5: str) -> None:
    with pytest.raises(InputError):
        restore(md5, store, tmp_path / "back.csv")


def test_a_missing_table_is_named(store: DataStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such table"):
        snapshot(tmp_path / "nowhere.csv", store, name="wine")


@pytest.mark.parametrize(
    ("remote", "kind"), [("nonsense://x", InputError), ("http://127.0.0.1:9/x", ComponentError), ("/proc/x", ComponentError)]
)
def test_a_remote_that_can_not_be_used_is_named(tmp_path: Path, table: Path, remote: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"DVC remote {remote}"):
        snapshot(table, DataStore(tmp_path / "dvc", remote), name="wine")


def test_another_remote_by_configuration_takes_over(store: DataStore, table: Path, tmp_path: Path) -> None:
    snapshot(table, store, name="wine")
    moved = DataStore(store.folder, str(tmp_path / "elsewhere"))
    md5 = snapshot(table, moved, name="wine").md5
    assert remote_file(moved, md5).read_bytes() == BYTES


def _take(folder: Path, n: int) -> str:
    table = folder / f"table{n % 2}.csv"
    return snapshot(table, DataStore(folder / "dvc", str(folder / "remote")), name=f"m{n}").md5


def test_many_at_once_all_succeed(tmp_path: Path) -> None:
    for n in range(2):
        (tmp_path / f"table{n}.csv").write_bytes(os.urandom(1 << 20))
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        hashes = pool.starmap(_take, [(tmp_path, n) for n in range(8)])
    store = DataStore(tmp_path / "dvc", str(tmp_path / "remote"))
    for n, md5 in enumerate(hashes):
        assert restore(md5, store, tmp_path / "back").read_bytes() == (tmp_path / f"table{n % 2}.csv").read_bytes()
    assert len(set(hashes)) == 2


@pytest.mark.parametrize("after_s", [0.15, 0.25, 0.35, 0.45, 0.6])
def test_killed_at_any_moment_the_next_one_finishes(tmp_path: Path, store: DataStore, after_s: float) -> None:
    """kill -9 after so many seconds of work on 64 MiB, from the moment the lock is taken; then the same again, to the end."""
    content = os.urandom(64 << 20)
    (tmp_path / "table.csv").write_bytes(content)
    code = f"""
from pathlib import Path
from include.data.snapshot import snapshot
from include.data.store import DataStore
print(snapshot(Path({str(tmp_path / "table.csv")!r}), DataStore(Path({str(store.folder)!r}), {store.remote!r}), name="wine").md5)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPO, stdout=subprocess.DEVNULL)
    while not (store.folder / ".dvc" / "config").exists():
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    md5 = snapshot(tmp_path / "table.csv", store, name="wine").md5
    shutil.rmtree(store.folder)
    assert restore(md5, store, tmp_path / "back.csv").read_bytes() == content


def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path, store: DataStore) -> None:
    """The process may write no file above 1 MiB (RLIMIT_FSIZE), as on a disk that fills up."""
    (tmp_path / "table.csv").write_bytes(os.urandom(4 << 20))
    md5 = snapshot(tmp_path / "table.csv", store, name="wine").md5
    code = f"""
import resource, signal
from pathlib import Path
from include.data.snapshot import restore
from include.data.store import DataStore
from include.errors import ComponentError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    restore({md5!r}, DataStore(Path({str(store.folder)!r}), {store.remote!r}), Path({str(tmp_path / "back.csv")!r}))
except ComponentError as error:
    print(error)
"""
    answer = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert "Check the disk's space" in answer.stdout
    assert not list(tmp_path.glob("*back*"))
