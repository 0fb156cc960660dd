"""Drops what retention gives up, and contents that no backup names any more."""

from __future__ import annotations

from datetime import UTC, datetime

from include.backup.retention import Held, too_many
from include.backup.store import Store
from include.errors import InputError
from include.verdict import Decision

GRACE_S = 24 * 3600.0
"""Contents that are younger than this may belong to a backup that is being made."""


def held(store: Store) -> list[Held]:
    """Return every backup of a store. One that is damaged, or newer than this Updraft, counts as whole, and goes when it is old."""
    found = []
    for name in store.names():
        try:
            whole = store.manifest(name) is not None
        except InputError:
            whole = True
        made_at = datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        found.append(Held(name, made_at, whole, proven(store, name)))
    return found


def proven(store: Store, name: str) -> bool:
    """Say whether a backup has been restored, and its champions answered."""
    proof = store.record(name).get("proof")
    return isinstance(proof, dict) and proof.get("decision") == Decision.PASS


def prune(store: Store, keep: int, days: int, now: datetime) -> tuple[list[str], int]:
    """Drop what is too many; return names, and how many bytes went. Raises InputError, having dropped no contents, while some backup's
    manifest can't be read: what it names is not known."""
    gone = too_many(held(store), keep, days, now)
    for name in gone:
        store.drop(name)
    return gone, store.sweep(GRACE_S)
