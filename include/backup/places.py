"""Where a text says that backups are."""

from __future__ import annotations

from pathlib import Path

from include.backup.bucket import Bucket
from include.backup.folder import Folder
from include.backup.store import Store
from include.errors import InputError
from include.runtime.settings import Settings


def store(settings: Settings, text: str) -> Store:
    """Return the store at a folder's path or at ``s3://bucket/prefix``. Raises InputError for a place inside the platform's own home, which
    it is lost with."""
    if text.startswith("s3://"):
        return Store(Bucket(text))
    if "://" in text:
        raise InputError("is neither a folder nor s3://.", where=text, remedy="Name a folder, or s3://bucket/folder.")
    path = Path(text).expanduser().resolve()
    if path.is_relative_to(settings.home) or path.is_relative_to(settings.models):
        what = "lies in the platform's own folder: it is lost with it, and it would back itself up."
        raise InputError(what, where=str(path), remedy="Name a folder elsewhere, best on another disk.")
    return Store(Folder(path))


def usual(settings: Settings) -> str:
    """Return where backups go that are told no place: beside the home."""
    return str(settings.home.with_name(f"{settings.home.name}-backups"))
