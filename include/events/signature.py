"""Signed messages as Standard Webhooks 1.0 has them (standardwebhooks.com): whose they are, and that they are not sent again later. Pure.

What is signed, with HMAC and SHA-256, is ``<id>.<timestamp>.<body>``; a message may bear several signatures, while a secret is changed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256

TOLERANCE_S = 300.0
"""A message signed longer ago, or so far in the future, is refused."""
FEWEST_BYTES = 16
"""Of a secret."""
PREFIX = "whsec_"
VERSION = "v1"


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for: base64 behind ``whsec_``, or else its own bytes. Raises ValueError for one too short."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else secret.encode()
    except binascii.Error:
        raise ValueError(f"is no base64 behind {PREFIX}") from None
    if len(key) < FEWEST_BYTES:
        raise ValueError(f"is shorter than {FEWEST_BYTES} bytes")
    return key


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return a message's signature, as its header `webhook-signature` has it."""
    signed = b".".join((message_id.encode("latin-1", "replace"), timestamp.encode("latin-1", "replace"), body))
    return f"{VERSION},{base64.b64encode(hmac.digest(key, signed, sha256)).decode()}"


def valid(key: bytes, message_id: str, timestamp: str, body: bytes, signatures: str) -> bool:
    """Say whether one of the blank-separated ``signatures`` is the message's. All that there are (up to ten) are compared."""
    wanted = sign(key, message_id, timestamp, body).encode()
    return any([hmac.compare_digest(wanted, one.encode("latin-1", "replace")) for one in signatures.split(" ")[:10]])


def fresh(timestamp: str, now_s: float) -> bool:
    """Say whether a message signed at ``timestamp`` (seconds since the epoch, as a text) may be taken now."""
    return timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12 and abs(now_s - int(timestamp)) <= TOLERANCE_S
