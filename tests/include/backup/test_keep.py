from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.backup.keep import prune
from include.backup.store import Store
from include.backup.take import take
from include.errors import InputError
from include.runtime.settings import Settings
from tests.include.backup.conftest import PASSPHRASE, contents

NOW = datetime(2026, 12, 1, 6, tzinfo=UTC)


def silent(line: str) -> None:
    return


def age(store: Store) -> None:
    """Make all contents two days old."""
    for path in Path(store.where, "objects").glob("??/*"):
        os.utime(path, (time.time() - 2 * 86400,) * 2)


def test_old_backups_go_and_what_the_others_name_stays(platform: Settings, store: Store) -> None:
    old = take(platform, store, PASSPHRASE, NOW - timedelta(days=40), silent)
    (platform.home / "dvc-remote" / "files" / "0a").write_bytes(b"newer" * 100)
    new = take(platform, store, PASSPHRASE, NOW, silent)
    age(store)
    gone, size = prune(store, keep=1, days=7, now=NOW)
    assert gone == [old.name] and size > 0 and store.names() == [new.name]
    assert {name.rpartition("/")[2] for name in contents(Path(store.where, "objects"))} == {file.sha256 for file in new.files}


def test_contents_of_a_backup_that_is_being_made_stay(platform: Settings, store: Store) -> None:
    manifest = take(platform, store, PASSPHRASE, NOW, silent)
    store.files.remove(f"backups/{manifest.name}/manifest.json")
    assert prune(store, keep=1, days=7, now=NOW)[1] == 0


def test_nothing_is_dropped_while_a_manifest_cant_be_read(platform: Settings, store: Store) -> None:
    manifest = take(platform, store, PASSPHRASE, NOW, silent)
    age(store)
    before = contents(Path(store.where, "objects"))
    Path(store.where, "backups", manifest.name, "manifest.json").write_text("{")
    with pytest.raises(InputError, match="no manifest"):
        prune(store, keep=1, days=7, now=NOW)
    assert contents(Path(store.where, "objects")) == before
