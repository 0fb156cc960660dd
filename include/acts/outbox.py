"""Acts of the command line, which knows no database: noted in a file first, out of which the responder takes them into the chain."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock

from include import atomic


@dataclass(frozen=True)
class Noted:
    """One act: ``id`` is its own, by which it is taken once."""

    id: str
    who: str
    act: str
    kind: str
    name: str
    detail: dict[str, Any]


def note(path: Path, act: str, kind: str, name: str, **detail: Any) -> None:
    """Append that whoever runs this process did ``act`` to the ``kind`` of this name; on disk when this returns."""
    who = f"{getpass.getuser()} (command line)"
    line = json.dumps(asdict(Noted(uuid4().hex, who, act, kind, name, detail))) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(_lock(path)):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def read(path: Path) -> list[Noted]:
    """Return what is noted; a line that was cut short by a crash is none."""
    found = []
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            found.append(Noted(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def taken(path: Path, ids: Sequence[str]) -> None:
    """Drop what was taken."""
    with FileLock(_lock(path)):
        left = [one for one in read(path) if one.id not in ids]
        atomic.write(path, "".join(json.dumps(asdict(one)) + "\n" for one in left))


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
