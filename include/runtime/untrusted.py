"""Reading what user code has written: it may have put a link, a pipe or a hundred gigabytes where a file should be."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from include.errors import InputError

TEXT_BYTES = 16 * 1024 * 1024


def read(path: Path, limit: int = TEXT_BYTES, offset: int = 0) -> bytes | None:
    """At most ``limit`` bytes of a plain file from ``offset`` on; None when there is none of that name, or it is no plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as handle:
        handle.seek(offset)
        return handle.read(limit)


def plain(path: Path) -> BinaryIO:
    """Open a plain file of a user's for reading, through links. OSError for anything else: reading a pipe or a device may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is a pipe or a device, and no plain file", str(path))
    return os.fdopen(descriptor, "rb")


def text(path: Path) -> str | None:
    """The same as text, what is no UTF-8 replaced; None too when there is more of it than anybody has a use for."""
    found = read(path, TEXT_BYTES + 1)
    return None if found is None or len(found) > TEXT_BYTES else found.decode(errors="replace")


def check_tree(folder: Path) -> None:
    """InputError, naming it, for anything below ``folder`` that is neither a file nor a folder of its own, nor a link to one in it."""
    real = folder.resolve()
    if folder.is_symlink():
        raise _refused(folder, folder, "is a link")
    for place, folders, files in os.walk(folder, followlinks=False):
        for name in (*folders, *files):
            path = Path(place) / name
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                if not path.resolve().is_relative_to(real):
                    raise _refused(folder, path, "is a link to what is not in it")
            elif not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise _refused(folder, path, "is neither a file nor a folder")


def check_paths(values: Any, roots: list[Path], where: str) -> None:
    """InputError for an absolute path among ``values`` (a result, nested as JSON is) that is below none of ``roots``."""
    allowed = [root.resolve() for root in roots]
    for value in _strings(values):
        if value.startswith("/") and not any(Path(value).resolve().is_relative_to(root) for root in allowed):
            raise InputError(f"names {value[:200]!r}, which is not the step's.", where=where, remedy="The step's code must not touch it.")


def _strings(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict):
        for part in values.values():
            yield from _strings(part)
    elif isinstance(values, list):
        for part in values:
            yield from _strings(part)


def _refused(folder: Path, path: Path, what: str) -> InputError:
    name = path.relative_to(folder.parent)
    return InputError(f"{what}.", where=f"what the step has left: {name}", remedy="Write plain files and folders into it.")
