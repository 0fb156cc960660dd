"""Secrets in a backup: encrypted with a passphrase (scrypt, RFC 7914; AES-256-GCM, NIST SP 800-38D), by the `cryptography` package."""

from __future__ import annotations

import base64
import getpass
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from include.errors import InputError

VARIABLE = "UPDRAFT_BACKUP_PASSPHRASE"
FILE = "passphrase"
"""In the platform's `backup` folder: where scheduled backups find it."""
SHORTEST = 12
"""A passphrase of fewer characters is refused: whoever has the backup may try as many as his machines can."""
WORK, BLOCK, LANES = 2**16, 8, 1
"""scrypt's n, r and p: 64 MiB and some tenths of a second for each try."""
SALT, NONCE, KEY = 16, 12, 32


def seal(content: Mapping[str, bytes], passphrase: str, vouched: bytes) -> str:
    """Encrypt files by name. ``vouched``: what shall be as it is now when they are decrypted."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = secrets.token_bytes(SALT), secrets.token_bytes(NONCE)
    plain = json.dumps({name: base64.b64encode(data).decode() for name, data in content.items()}).encode()
    return base64.b64encode(salt + nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, plain, vouched)).decode()


def unseal(sealed: str, passphrase: str, vouched: bytes, where: str) -> dict[str, bytes]:
    """Decrypt what :func:`seal` made. Raises InputError for another passphrase, or when anything is not as it was."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = base64.b64decode(sealed, validate=True)
        salt, nonce, rest = raw[:SALT], raw[SALT : SALT + NONCE], raw[SALT + NONCE :]
        plain = AESGCM(_key(passphrase, salt)).decrypt(nonce, rest, vouched)
        return {str(name): base64.b64decode(data) for name, data in json.loads(plain).items()}
    except (InvalidTag, ValueError):
        raise InputError(
            "its passphrase is another one, or its manifest was changed.",
            where=where,
            remedy=f"Set {VARIABLE} to the one that it was made with; if it is that, restore another backup.",
        ) from None


def passphrase(folder: Path, *, ask: bool = True) -> str:
    """Return the passphrase: ``UPDRAFT_BACKUP_PASSPHRASE``, else what the file `passphrase` in ``folder`` holds, else what a person at the
    terminal says. Raises InputError without any, and for one that is too short."""
    found = os.environ.get(VARIABLE) or _kept(folder / FILE)
    if not found and ask and sys.stdin.isatty():
        found = getpass.getpass("Passphrase of the backup: ")
    if not found:
        raise InputError(
            "there is no passphrase for the credentials in the backup.",
            where=VARIABLE,
            remedy=f"Set it to {SHORTEST} characters or more, and keep it elsewhere: nothing is restored without it.",
        )
    if len(found) < SHORTEST:
        raise InputError(f"the passphrase has fewer than {SHORTEST} characters.", where=VARIABLE, remedy="Choose a longer one.")
    return found


def _kept(path: Path) -> str:
    try:
        return path.read_text().strip("\n")
    except FileNotFoundError:
        return ""


def _key(passphrase: str, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=KEY, n=WORK, r=BLOCK, p=LANES).derive(passphrase.encode())
