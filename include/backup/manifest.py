"""What a backup consists of: every file with its size and SHA-256, and what made it. Pure.

The manifest is written last, so that a backup without one is none. It carries the platform's secrets, encrypted; the encryption
authenticates everything else in it, so that with the passphrase a changed manifest is known for one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from include.errors import InputError

FORMAT = 1
"""Of backups that this code makes; it reads none of a later one."""
KIND = "updraft-backup"
NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
"""When it was made (UTC), and something random."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class File:
    """One file: ``path`` is relative to the backup's root, with slashes; ``mode``: its permissions."""

    path: str
    sha256: str
    bytes: int
    mode: int = 0o600


@dataclass(frozen=True)
class Manifest:
    """``made_at``: ISO 8601, UTC. ``schemas``: database → table of versions → version, as its migrations have left it. ``champions``:
    model → the version that served. ``folders``: those that hold nothing. ``left_out``: sentences about what belongs to the platform and is
    not in the backup. ``sealed``: the secrets.
    """

    name: str
    made_at: str
    updraft: str
    scale: str
    port_base: int
    schemas: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    champions: Mapping[str, int] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    folders: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    sealed: str = ""

    @property
    def size_bytes(self) -> int:
        """The sum of its files' sizes."""
        return sum(file.bytes for file in self.files)

    def authenticated(self) -> bytes:
        """Return what the encryption of its secrets vouches for: everything but them."""
        return json.dumps(_json(replace(self, sealed="")), sort_keys=True, separators=(",", ":")).encode()

    def text(self) -> str:
        """Return what is written down; :func:`parse` is the inverse."""
        return json.dumps(_json(self), indent=1) + "\n"


def parse(text: str, where: str) -> Manifest:
    """Return the manifest in a text. Raises InputError for what is none, is damaged, or was made by a newer Updraft."""
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise InputError("is no manifest of an Updraft backup.", where=where, remedy="Name a folder that `make backup` wrote to.")
    if not isinstance(data.get("format"), int) or data["format"] > FORMAT:
        what = f"was made by a newer Updraft (format {data.get('format')!r:.20}; this one reads up to {FORMAT})."
        raise InputError(what, where=where, remedy="Restore it with the Updraft that made it, or a later one.")
    try:
        files = tuple(File(str(entry["path"]), str(entry["sha256"]), int(entry["bytes"]), int(entry["mode"])) for entry in data["files"])
        found = Manifest(**{key: value for key, value in data.items() if key not in ("kind", "format")} | {"files": files})
        found = replace(found, left_out=tuple(found.left_out), folders=tuple(map(str, found.folders)))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(f"{type(error).__name__}: {error}", where) from None
    if fault := _fault(found):
        raise _damaged(fault, where)
    return found


def _fault(found: Manifest) -> str:
    """Say what is wrong with a manifest; "" for nothing. What comes from outside must lead nowhere outside."""
    if not NAME.fullmatch(str(found.name)) or not isinstance(found.port_base, int):
        return "its name or its port is none"
    seen: set[str] = set()
    for path in (*(file.path for file in found.files), *found.folders):
        parts = PurePosixPath(path).parts
        if not parts or path != "/".join(parts) or ".." in parts or parts[0] == "/" or "\0" in path or path in seen:
            return f"the path {path!r:.100} leads elsewhere, or is there twice"
        seen.add(path)
    for file in found.files:
        if not _DIGEST.fullmatch(file.sha256) or file.bytes < 0 or not 0 <= file.mode <= 0o777:
            return f"{file.path!r:.100} has no digest, no size or no permissions"
    return ""


def _damaged(what: str, where: str) -> InputError:
    return InputError(f"is damaged ({what}).", where=where, remedy="Restore another backup: `make backups FROM=...` lists them.")


def _json(manifest: Manifest) -> dict[str, Any]:
    return {"kind": KIND, "format": FORMAT, **asdict(manifest)}
