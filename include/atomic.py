"""Files that appear whole or not at all, whatever is killed in between."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write(path: Path, text: str | bytes, *, work: Path | None = None, mode: int = 0o600) -> None:
    """Put ``text`` in place of what ``path`` held; with exactly this ``mode``, whatever the umask (by default its owner's alone), on disk
    when this returns.

    ``work`` is the folder of the unfinished file (on the same file system), where somebody watches ``path``'s own folder.
    """
    folder = work or path.parent
    for needed in (folder, path.parent):
        needed.mkdir(parents=True, exist_ok=True)
    # No process id: threads share one, and so do containers on one volume.
    temporary = folder / f".{path.name}.{uuid.uuid4().hex}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(descriptor, mode)
            handle.write(text.encode() if isinstance(text, str) else text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # on a full disk, say, where it would be tried again and again
        raise
    kept = os.open(path.parent, os.O_RDONLY)
    os.fsync(kept)
    os.close(kept)
