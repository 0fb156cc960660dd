"""What one step or server may reach, as data, and the command that is held to it."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include.runtime.settings import REPO, REVISION_PORTS, Settings

ENTER = Path(__file__).with_name("enter.py")
LEFT_OUT = ("models", "__pycache__")
CODE = "code"
"""Folder in the platform's home by which user code finds Updraft's own."""


@dataclass(frozen=True)
class Policy:
    """``reads`` and ``writes`` are absolute paths. Of ``shared`` folders everything may be read and new files made, and nobody else's file
    removed: the platform's request and log lie beside the step's result.

    ``connect`` and ``bind``: TCP ports, beside those that the kernel hands out. ``hidden``: folders of which nothing else is to be seen.
    ``users``: where the numbers of users are counted; "" for a process that stays the user it is.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    shared: tuple[str, ...] = ()
    connect: tuple[int, ...] = ()
    bind: tuple[int, ...] = ()
    closed: tuple[int, int] = (0, 0)
    """The platform's own ports, first and last: none of these unless named."""
    guarded: tuple[str, ...] = ()
    """``host:port`` where the machine comes to it, while it has a network of its own: it is given sockets that are bound there, by their
    ports in ``UPDRAFT_DOORS`` (:mod:`include.backends.guard`)."""
    hidden: tuple[str, ...] = ()
    users: str = ""
    folder: str = "/"
    """Where the command starts."""
    nice: int = 0
    """By how much it gives way to others where processors are short (0 to 19)."""

    @classmethod
    def read(cls, text: str) -> Policy:
        known: dict[str, Any] = json.loads(text)
        fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
        return cls(**fields)

    def wrap(self, command: Sequence[str]) -> tuple[str, ...]:
        """The command that first gives up all else. The policy holds no secret: a command line can be read by anybody."""
        return (sys.executable, "-S", "-E", str(ENTER), json.dumps(asdict(self), sort_keys=True), "--", *command)


def code(settings: Settings) -> tuple[Path, tuple[str, ...]]:
    """The folder that leads user code's PYTHONPATH, and what must be readable for it: Updraft's package without any model's folder."""
    folder = settings.home / CODE
    package = folder / "include"
    package.mkdir(mode=0o755, parents=True, exist_ok=True)
    for path in (folder, package):
        path.chmod(0o755)
    parts = [path for path in sorted((REPO / "include").iterdir()) if path.name not in LEFT_OUT]
    for part in parts:
        link = package / part.name
        if not link.is_symlink() or link.readlink() != part:  # new, or of a checkout that lay elsewhere
            fresh = package / f".{uuid.uuid4().hex}"
            fresh.symlink_to(part)
            fresh.replace(link)
    return folder, (str(folder), *map(str, parts))


def interpreters(settings: Settings) -> tuple[str, ...]:
    """The Pythons that the runtimes' environments were made from, without which none of them starts."""
    found = {python.resolve().parent.parent for python in settings.runtimes.glob("*/bin/python")}
    return tuple(sorted(str(path) for path in found if path != Path("/")))


def platform_ports(settings: Settings) -> tuple[int, int]:
    """The first and the last that this platform takes."""
    return settings.port_base, settings.port_base + REVISION_PORTS.stop - 1


def existing(paths: Iterable[Path]) -> tuple[str, ...]:
    """As they are, and as they are without links; those that are not there are left out."""
    return tuple(sorted({str(form) for path in paths if path.exists() for form in (path.absolute(), path.resolve())}))
