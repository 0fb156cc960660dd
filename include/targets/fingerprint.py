"""What a step's result depends on, as one digest: its request, its runtime, the model's code, and the bytes of all files it reads.

Large files are read once. Their digest is kept under their path, size, times and inode, and believed as long as all of these are the same
(the ctime can't be set by a program). A file that changed within the last moments is digested again and not kept: its next change may
leave the same times (as with git's index).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from include import atomic
from include.steps.context import StepRequest

CODE_SUFFIXES = (".py", ".yaml", ".yml")
SPEC_FILE = "model.yaml"
"""Read once, when the run began; the request holds what it said then."""
REACH = ("run_key", "reads", "keeps", "network")
"""Parts of a request that say where a step may look, and not what it makes."""
SMALL_BYTES = 1 << 20
"""A smaller file is digested as fast as its kept digest is found."""
SETTLED_S = 2.0
"""A file's times tell two contents apart once it has rested for this long (some file systems count whole seconds)."""


class Digests:
    """Digests of files and folders; those of files are kept in ``folder``, one small file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file, or that of all files below a folder with their names; "" where there is nothing.

        Hidden files and Python's caches are no part of a folder.
        """
        if path.is_file():
            return self._of_file(path)
        digest, found = hashlib.sha256(), path.is_dir()
        for file in below(path) if found else ():
            digest.update(str(file.relative_to(path)).encode() + b"\0" + self._of_file(file).encode())
        return digest.hexdigest() if found else ""

    def _of_file(self, path: Path) -> str:
        if path.stat().st_size < SMALL_BYTES:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        kept = self._folder / hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
        before = _mark(path)
        try:
            known = json.loads(kept.read_text())
        except (OSError, ValueError):
            known = {}
        if known.get("mark") == before:
            return str(known["sha256"])
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        rested = time.time_ns() - max(before[1], before[2]) > SETTLED_S * 1e9
        if rested and _mark(path) == before:
            atomic.write(kept, json.dumps({"mark": before, "sha256": found}))
        return found


def fingerprint(request: StepRequest, runtime: str, digests: Digests) -> str:
    """Return the digest of everything that the step's result depends on. ``runtime`` is what the step's environment is made of."""
    stated = {name: value for name, value in asdict(request).items() if name not in REACH}
    digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode())
    digest.update(runtime.encode())
    code = code_in(Path(request.folder))
    inputs = [Path(value) for _, value in sorted(request.inputs.items()) if value.startswith("/")]
    for path in (*code, *inputs, *map(Path, request.sources)):
        digest.update(str(path).encode() + b"\0" + digests.of(path).encode())
    return digest.hexdigest()


def code_in(folder: Path) -> list[Path]:
    """Return the files of a model's folder that its steps run by; its spec is none of them, which a run keeps as it was."""
    return [path for path in below(folder) if path.suffix in CODE_SUFFIXES and path != folder / SPEC_FILE]


def code_digest(folder: Path, digests: Digests) -> str:
    """Return one digest of all of them, with their names."""
    digest = hashlib.sha256()
    for path in code_in(folder):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + digests.of(path).encode())
    return digest.hexdigest()


def _mark(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def below(folder: Path) -> Iterable[Path]:
    """Yield the files below a folder in a fixed order, but for hidden ones and Python's caches."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        yield from (Path(root) / name for name in sorted(files) if not name.startswith(".") and (Path(root) / name).is_file())
