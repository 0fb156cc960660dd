"""What a bundle consists of: every file's size and SHA-256, so that nothing is sent twice and nothing else is served than was verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from include import atomic
from include.errors import ComponentError

FILE = "manifest.json"
Manifest = Mapping[str, Mapping[str, int | str]]
"""Relative path → ``bytes`` and ``sha256``."""


def describe(folder: Path) -> Manifest:
    """Return what is in a folder, but for hidden files and the manifest itself. Files are read in pieces."""
    return {name: entry(folder / name) for name in names(folder)}


def names(folder: Path) -> list[str]:
    """Return the relative paths of a folder's files, but for hidden ones and the manifest itself."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.as_posix() != FILE and not any(part.startswith(".") for part in path.parts))


def entry(path: Path) -> Mapping[str, int | str]:
    """Return the size and the digest of one file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def write(folder: Path) -> Manifest:
    """Put the folder's manifest into it, and return it."""
    found = describe(folder)
    atomic.write(folder / FILE, json.dumps(found, indent=1, sort_keys=True), mode=0o644)
    return found


def parse(text: str | bytes) -> Manifest:
    """Return the manifest in a text; an empty one for a text that is none (of a step that was killed)."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def check(folder: Path) -> None:
    """Raise ComponentError, naming the file, unless a folder holds just what its manifest says. An older one without a manifest passes."""
    if not (folder / FILE).exists():
        return
    wanted, found = parse((folder / FILE).read_bytes()), describe(folder)
    wrong = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    if wrong:
        remedy = "The registry's copy was changed: register the model again, or return to another version."
        raise ComponentError(f"{', '.join(wrong[:5])}: not what was registered.", where=str(folder), remedy=remedy)
