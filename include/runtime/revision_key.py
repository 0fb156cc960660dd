"""The key of a revision: what its own port asks for. The gateway and the platform know it, the server itself, and nobody else.

A server's port is one that every process of the machine can reach, and every page in a browser there. So whoever asks a server directly
shows this key, and the gateway, which lets callers in by theirs, adds it to what it passes on.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from include.runtime.settings import Settings

HEADER = "x-updraft-key"
"""Carries the key of a server to its own port."""


def revision_key(settings: Settings, name: str) -> str:
    """The key of the server or revision of this name (``revision-digits-3``): always the same, told by no other's."""
    return hmac.new(_root(settings.home / "revision-key"), name.encode(), hashlib.sha256).hexdigest()


def key_headers(settings: Settings, name: str) -> dict[str, str]:
    """What a request to the revision's own port carries."""
    return {HEADER: revision_key(settings, name)}


def _root(path: Path) -> bytes:
    """What all keys of a platform are made from: random, made once, its owner's alone."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(secrets.token_bytes(32))
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(made, path)  # whoever comes second finds the first one's
        except FileExistsError:
            pass
        finally:
            made.unlink()
        return path.read_bytes()
