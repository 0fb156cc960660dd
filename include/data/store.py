"""The DVC repository behind the snapshots: its folder, its remote, its lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from include.errors import ComponentError, InputError
from include.runtime.settings import Settings

REMOTE = "store"


@dataclass(frozen=True)
class DataStore:
    """``folder`` is a DVC repository without version control, ``remote`` where its contents are kept: a folder or a URL such as ``s3://...``."""

    folder: Path
    remote: str

    @classmethod
    def of(cls, settings: Settings) -> DataStore:
        """Below the platform's home, unless ``UPDRAFT_DVC_REMOTE`` names another remote."""
        for name, value in settings.s3_environment.items():
            os.environ.setdefault(name, value)  # DVC's own client asks no other way
        return cls(settings.home / "dvc", settings.dvc_remote)

    @contextmanager
    def repo(self) -> Iterator[Any]:
        """The DVC repository, for one caller at a time: others wait, and a caller that dies leaves the lock to them.

        Opened anew each time, because DVC remembers which folders exist. Raises ``InputError`` for a remote it can't use.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            self._configure()
            from dvc.exceptions import DvcException
            from dvc.repo import Repo
            from dvc_objects.fs.errors import AuthError, ConfigError, RemoteMissingDepsError

            try:
                repo = Repo(str(self.folder))
                try:
                    yield repo
                finally:
                    repo.close()
            except (DvcException, AuthError, ConfigError, RemoteMissingDepsError, ImportError) as error:
                what = f"can't be used: {error}."
                raise InputError(what, where=self.where, remedy="Check UPDRAFT_DVC_REMOTE, its credentials and its DVC extra.") from error
            except OSError as error:
                raise ComponentError(
                    f"failed: {error}.", where=self.where, remedy="Check the disk's space and its rights, then retry."
                ) from error

    @property
    def where(self) -> str:
        return f"DVC remote {self.remote}"

    def _configure(self) -> None:
        """Write DVC's configuration, whole or not at all. It is also what makes the folder a repository."""
        text = "\n".join(
            [
                "[core]",
                "    no_scm = true",
                "    analytics = false",
                "    check_update = false",
                f"    site_cache_dir = {self.folder / '.dvc' / 'site'}",
                f"    remote = {REMOTE}",
                f"['remote \"{REMOTE}\"']",
                f"    url = {self.remote}",
                "    verify = true",
                "",
            ]
        )
        path = self.folder / ".dvc" / "config"
        if path.exists() and path.read_text() == text:
            return
        write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a reader, or a crash, sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    part.rename(path)
