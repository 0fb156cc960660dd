"""Where backups are kept: contents under their own SHA-256, so that what did not change is kept once, and a folder a backup.

``objects/ab/abcd...`` holds contents, ``backups/<name>/manifest.json`` says what a backup consists of, ``backups/<name>/record.json`` what
became of proving it. ``updraft-backups.json`` tells the store from any other folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from include.backup.manifest import NAME, Manifest, parse
from include.errors import InputError

MARK = "updraft-backups.json"
MANIFEST, RECORD = "manifest.json", "record.json"


@dataclass(frozen=True)
class Content:
    """One content in a store; ``age_s``: since it was put there (seconds)."""

    sha256: str
    bytes: int
    age_s: float


class Files(Protocol):
    """Files by name, each there whole or not at all. Names have slashes. ``where``: for people."""

    where: str

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes; None when there is none."""

    def read(self, name: str) -> bytes | None:
        """Return a small file; None when there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Keep a small file in place of the one that is there."""

    def put(self, source: BinaryIO, folder: str) -> tuple[str, int]:
        """Keep a content under ``folder``, by its digest; return digest and size of what was kept."""

    def fetch(self, name: str, target: BinaryIO) -> None:
        """Write a file's bytes to ``target``. Raises FileNotFoundError."""

    def folders(self, name: str) -> list[str]:
        """Return the names of the folders in one, sorted."""

    def contents(self, folder: str) -> Iterator[Content]:
        """Return what :meth:`put` has kept under a folder."""

    def remove(self, name: str) -> None:
        """Drop a file; one that is gone is fine."""


def content_name(folder: str, sha256: str) -> str:
    """Return the name of a content."""
    return f"{folder}/{sha256[:2]}/{sha256}"


class Store:
    """Backups in a folder or a bucket."""

    OBJECTS, BACKUPS = "objects", "backups"

    def __init__(self, files: Files) -> None:
        self.files, self.where = files, files.where

    def begin(self) -> None:
        """Make sure that this is a store, or make it one. Raises InputError for a place that holds something else."""
        if self.files.read(MARK) is None:
            self.files.write(MARK, json.dumps({"what": "backups of Updraft", "format": 1}).encode())

    def insist(self) -> None:
        """Raise InputError for a place that is no store."""
        if self.files.read(MARK) is None:
            raise InputError("holds no backups of Updraft.", where=self.where, remedy="Name the place that `make backup TO=...` wrote to.")

    def keep(self, path: Path) -> tuple[str, int]:
        """Keep a file's content, unless it is there; return its digest and size. Raises FileNotFoundError when the file is gone."""
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
            size = source.tell()
            if self.files.size(content_name(self.OBJECTS, digest)) == size:
                return digest, size
            source.seek(0)
            return self.files.put(source, self.OBJECTS)

    def fetch(self, sha256: str, size: int, target: Path) -> None:
        """Write a content to a file that is not there yet. Raises InputError when it is missing or is not what it was."""
        digest = hashlib.sha256()
        name = content_name(self.OBJECTS, sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            hashed = _Hashed(file, digest)
            try:
                self.files.fetch(name, hashed)  # type: ignore[arg-type]
            except FileNotFoundError:
                raise self._damaged(f"{name} is missing") from None
        if digest.hexdigest() != sha256 or hashed.bytes != size:
            raise self._damaged(f"{name} is not what was backed up")

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: from now on the backup is one."""
        self.files.write(f"{self.BACKUPS}/{manifest.name}/{MANIFEST}", manifest.text().encode())

    def names(self) -> list[str]:
        """Return the names of all backups, the oldest first, unfinished ones among them."""
        return [name for name in self.files.folders(self.BACKUPS) if NAME.fullmatch(name)]

    def manifest(self, name: str) -> Manifest | None:
        """Return what a backup consists of; None for an unfinished one. Raises InputError for a damaged or newer one."""
        place = f"{self.BACKUPS}/{name}/{MANIFEST}"
        data = self.files.read(place)
        if data is None:
            return None
        found = parse(data.decode("utf-8", "replace"), f"{self.where}/{place}")
        if found.name != name:
            raise InputError(f"is the manifest of {found.name}.", where=f"{self.where}/{place}", remedy="Restore another backup.")
        return found

    def record(self, name: str) -> dict[str, object]:
        """Return what became of a backup's proof; empty where nothing is known."""
        data = self.files.read(f"{self.BACKUPS}/{name}/{RECORD}")
        try:
            found = json.loads(data or b"{}")
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {}

    def note(self, name: str, record: dict[str, object]) -> None:
        """Keep what became of a backup's proof."""
        self.files.write(f"{self.BACKUPS}/{name}/{RECORD}", json.dumps(record, indent=1).encode())

    def drop(self, name: str) -> None:
        """Forget a backup; its contents stay until :meth:`sweep`. The manifest goes first: half forgotten, it is no backup."""
        for file in (MANIFEST, RECORD):
            self.files.remove(f"{self.BACKUPS}/{name}/{file}")

    def sweep(self, older_than_s: float) -> int:
        """Drop contents that no backup names and that are older than this; return how many bytes went. Nothing is dropped while a manifest
        can't be read: what it names is not known."""
        used = {file.sha256 for name in self.names() if (found := self.manifest(name)) for file in found.files}
        gone = 0
        for content in list(self.files.contents(self.OBJECTS)):
            if content.sha256 not in used and content.age_s >= older_than_s:
                self.files.remove(content_name(self.OBJECTS, content.sha256))
                gone += content.bytes
        return gone

    def _damaged(self, what: str) -> InputError:
        remedy = "Restore another backup (`make backups FROM=...` lists them). To have the next one keep it anew, remove that file."
        return InputError(f"the backup is damaged: {what}.", where=self.where, remedy=remedy)


class _Hashed:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO, digest: hashlib._Hash) -> None:
        self._file, self._digest, self.bytes = file, digest, 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.bytes += len(data)
        return self._file.write(data)
