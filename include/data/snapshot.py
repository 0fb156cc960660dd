"""Snapshots of tables: kept by content with DVC, given back exactly by their hash."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.data.store import DataStore, write_whole
from include.errors import ComponentError, InputError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Snapshot:
    """``md5`` is DVC's hash of the bytes; ``name`` is a file name for them (``digits.parquet``)."""

    md5: str
    size_bytes: int
    name: str


def snapshot(table: Path, store: DataStore, *, name: str) -> Snapshot:
    """Put the bytes of ``table`` into ``store`` and its remote, under their own hash; ``name`` is the model's.

    Safe to repeat, to kill at any point and to call twice at once: contents are addressed by hash and appear whole. A ``.dvc`` file
    per content (``<store>/<name>/<md5>...dvc``) lets ``dvc pull`` and ``dvc gc`` know of it. Raises ``InputError`` (no table, a remote
    that can't be used), ``ComponentError`` (the remote did not take it).
    """
    if not table.is_file():
        raise InputError("there is no such table.", where=str(table), remedy="Extract it first.")
    with store.repo() as repo:
        md5 = _into_cache(repo, table)
        if _size_in_remote(repo, md5) != table.stat().st_size:
            _push(repo, md5, store)
        taken = Snapshot(md5, table.stat().st_size, f"{name}{table.suffix}")
        pointer = store.folder / name / f"{md5}{table.suffix}.dvc"
        write_whole(pointer, f"outs:\n- md5: {md5}\n  size: {taken.size_bytes}\n  hash: md5\n  path: {md5}{table.suffix}\n")
        return taken


def restore(md5: str, store: DataStore, dest: Path) -> Path:
    """Write the snapshot with the hash ``md5`` to ``dest``, from the cache or else the remote, its bytes verified; ``dest`` appears whole.

    Raises ``InputError`` when no snapshot has this hash, ``ComponentError`` when only damaged bytes are left of it.
    """
    if not re.fullmatch(r"[0-9a-f]{32}", md5):
        raise InputError(
            f"{md5[:60]!r} is no snapshot's hash.", remedy="It has 32 hexadecimal digits: tag `updraft.data.md5` of the MLflow run."
        )
    with store.repo() as repo:
        if not _good(_cached(repo, md5), md5):
            _cached(repo, md5).unlink(missing_ok=True)
            _pull(repo, md5, store)
        dest.parent.mkdir(parents=True, exist_ok=True)
        part = dest.with_name(f".{dest.name}.part")
        try:
            shutil.copyfile(_cached(repo, md5), part)
            if hash_of(part) == md5:
                os.replace(part, dest)
                return dest
        finally:
            part.unlink(missing_ok=True)
        raise ComponentError(f"the snapshot {md5} is damaged.", where=store.where, remedy="Restore the remote from its backup.")


def hash_of(path: Path) -> str:
    """The MD5 of a file's bytes, as DVC computes it (a name for the content, not a protection against forgery)."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _into_cache(repo: Any, table: Path) -> str:
    """The hash of ``table``, whose bytes are then in DVC's cache."""
    md5 = hash_of(table)
    if not _good(_cached(repo, md5), md5):
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.transfer import transfer
        from dvc_objects.fs.local import LocalFileSystem

        _cached(repo, md5).unlink(missing_ok=True)
        files: Any = LocalFileSystem
        staging, _, content = build(repo.cache.local, str(table), files(), "md5")
        transfer(staging, repo.cache.local, {content.hash_info}, hardlink=False)
        if content.hash_info.value != md5 or not _good(_cached(repo, md5), md5):
            raise ComponentError("the table changed while it was read.", where=str(table), remedy="Run the step again.")
    return md5


def _cached(repo: Any, md5: str) -> Path:
    return Path(repo.cache.local.oid_to_path(md5))


def _good(path: Path, md5: str) -> bool:
    return path.is_file() and hash_of(path) == md5


def _info(md5: str) -> Any:
    from dvc_data.hashfile.hash_info import HashInfo

    return HashInfo("md5", md5)


def _size_in_remote(repo: Any, md5: str) -> int | None:
    odb = repo.cloud.get_remote_odb()
    try:
        return int(odb.fs.info(odb.oid_to_path(md5))["size"])
    except FileNotFoundError:
        return None


def _push(repo: Any, md5: str, store: DataStore) -> None:
    odb = repo.cloud.get_remote_odb()
    path = odb.oid_to_path(md5)
    if odb.fs.exists(path):  # of another size: what a crash has left of an upload
        odb.fs.remove(path)
    result = repo.cloud.push([_info(md5)])
    if result.failed or _size_in_remote(repo, md5) is None:
        raise ComponentError(f"did not take the snapshot {md5}.", where=store.where, remedy="Check its space and its rights.")


def _pull(repo: Any, md5: str, store: DataStore) -> None:
    if _size_in_remote(repo, md5) is None:
        raise InputError(f"holds no snapshot {md5}.", where=store.where, remedy="Check the hash and UPDRAFT_DVC_REMOTE.")
    repo.cloud.pull([_info(md5)])
    if not _good(_cached(repo, md5), md5):
        raise ComponentError(f"the snapshot {md5} is damaged.", where=store.where, remedy="Restore the remote from its backup.")
