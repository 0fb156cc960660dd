"""Watches models' files of data for the specs that say `on: {file: true}`: a part of the responder."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path

from sqlalchemy.orm import Session

from include.kinds.registry import kind_of
from include.spec.schema import Spec
from include.targets.fingerprint import CODE_SUFFIXES, below
from lifecycle.db import events

Stat = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and time of change of each file."""
NAMED = 3
"""Files that a notice names."""
CHANGED = "the data changed"
"""Said of files that are others than those of before the responder was started: which of them, nobody knows."""


class DataFiles:
    """One look at all files is one :meth:`round`. A file counts once it is the same in two looks: one that is still written is no news."""

    def __init__(self, models: Path, say: Callable[[str], None] = print) -> None:
        self._models, self._say = models, say
        self._seen: dict[str, Stat] = {}
        self._known: dict[str, Stat] = {}

    def round(self, session: Session, specs: Mapping[str, Spec], now: datetime) -> None:
        """Keep news of every model whose files are others than they were; what can't be read now is looked at again."""
        for model, spec in specs.items():
            if not spec.on.file:
                continue
            try:
                self._look(session, model, self._files(model, spec), now)
            except OSError as error:
                self._say(f"{model}: its files of data can't be read: {error}")

    def _files(self, model: str, spec: Spec) -> list[Path]:
        return files_of(kind_of(spec).sources("extract", spec, self._models / model, {}))

    def _look(self, session: Session, model: str, paths: list[Path], now: datetime) -> None:
        state = stat(paths)
        if self._known.get(model) == state:
            return
        if self._seen.get(model) != state:
            self._seen[model] = state
            return
        digest = digest_of(paths, self._models / model)
        if stat(paths) != state:  # written to meanwhile
            return
        summary = changes(self._known[model], state) if model in self._known else CHANGED
        row = events.files_are(session, model, digest, summary, now)
        session.commit()
        self._known[model] = state
        if row is not None and row.state == events.WAITING:
            self._say(f"{model}: {summary}.")


def files_of(sources: Collection[Path]) -> list[Path]:
    """Return the files of data that ``sources`` are, or that lie below them, sorted; below a folder code and hidden files are none."""
    found = {path for path in sources if path.is_file()}
    for folder in sources:
        found.update(path for path in below(folder) if path.suffix not in CODE_SUFFIXES)
    return sorted(found)


def changes(before: Stat, after: Stat) -> str:
    """Say which files are new or others than before, and which are gone. Pure."""
    new = [file[0] for file in after if file not in before]
    gone = sorted({file[0] for file in before} - {file[0] for file in after})
    return "; ".join(f"{_names(paths)} {what}" for paths, what in ((new, "changed"), (gone, "gone")) if paths)


def _names(paths: list[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(os.path.basename(path)[:100] for path in paths[:NAMED]) + more


def stat(paths: list[Path]) -> Stat:
    """Return what changes when one of the files does."""
    found = ((os.fspath(path), path.stat()) for path in paths)
    return tuple((path, seen.st_ino, seen.st_size, seen.st_mtime_ns) for path, seen in found)


def digest_of(paths: list[Path], folder: Path) -> str:
    """Return a hash of the files' names (those in ``folder`` as seen from there) and contents."""
    whole = sha256()
    for path in paths:
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
        with path.open("rb") as file:
            whole.update(f"{name}\0{file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
