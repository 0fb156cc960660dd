"""Callers' API keys: named, scoped to models and verbs, expiring, kept by their SHA-256 alone. Pure but for the file.

A key is 256 random bits, so that its hash can't be guessed back and needs no salt; it is shown once, when it is made.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import InputError
from include.gateway.endpoint import check_model
from include.pool.ask import NAME as TEAM

VERBS = ("infer", "metadata")
"""``infer``: ask a model (KServe's ``/infer``, OpenAI's POST paths, a server's own paths). ``metadata``: whether and how it is served, the
list of models."""
PREFIX = "ud_"
"""Begins every key, so that scanners of leaked secrets know one."""
NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,62}$")
DAY_S = 86400.0
MAX_DAYS = 3650.0
WHERE = "gateway: keys"


@dataclass(frozen=True)
class Key:
    """One caller's key. ``models`` empty: all of them. Times in seconds since the epoch, None: never.

    ``team``: whose it is, for budgets and cost; empty for nobody's. ``previous`` is the hash of the key before the last rotation, good
    until ``previous_until``.
    """

    name: str
    sha256: str
    models: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    created_at: float = 0.0
    created_by: str = ""
    expires_at: float | None = None
    previous: str = ""
    previous_until: float = 0.0
    team: str = ""

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise InputError(f"{self.name!r:.80} is no name of a key.", where=WHERE, remedy="Use a-z, 0-9, _, . and -, at most 63.")
        for model in self.models:
            check_model(model)
        if self.team and not TEAM.match(self.team):
            raise InputError(f"{self.team!r:.80} is no name of a team.", where=WHERE, remedy="Use letters, digits, _, . and -, at most 63.")
        unknown = sorted(set(self.verbs) - set(VERBS))
        if unknown or not self.verbs:
            raise InputError(
                f"{unknown[0]!r:.80} is no verb." if unknown else "a key without verbs opens nothing.",
                where=WHERE,
                remedy=f"Use one or more of: {', '.join(VERBS)}.",
            )

    def accepted(self) -> list[tuple[str, float | None]]:
        """Hashes that open the door, each with its end."""
        if not self.previous:
            return [(self.sha256, self.expires_at)]
        ends = [end for end in (self.previous_until, self.expires_at) if end is not None]
        return [(self.sha256, self.expires_at), (self.previous, min(ends))]


Keys = Mapping[str, Key]


def digest(secret: str) -> str:
    """What is kept of a key."""
    return sha256(secret.encode()).hexdigest()


def add(keys: Keys, taken: Iterable[str], key: Key) -> dict[str, Key]:
    """With one more key. InputError for a name that is taken: by another key, or by the platform's own callers (``taken``)."""
    if key.name in {*keys, *taken}:
        raise InputError(f"there is a key {key.name!r} already.", where=WHERE, remedy="Rotate it, or choose another name.")
    return {**keys, key.name: key}


def make(
    name: str,
    *,
    models: Iterable[str] = (),
    verbs: Iterable[str] = VERBS,
    days: float | None = None,
    by: str = "",
    team: str = "",
    now: float,
) -> tuple[Key, str]:
    """A new key and its secret, good for ``days`` (None: until it is revoked)."""
    if days is not None and not 0 < days <= MAX_DAYS:
        raise InputError(f"{days:g} days are no life of a key.", where=WHERE, remedy=f"Use more than 0 and at most {MAX_DAYS:g}.")
    secret = PREFIX + secrets.token_urlsafe(32)
    chosen = tuple(verb for verb in VERBS if verb in set(verbs)) + tuple(sorted(set(verbs) - set(VERBS)))
    ends = None if days is None else now + days * DAY_S
    return Key(name, digest(secret), tuple(sorted(set(models))), chosen, now, by, ends, team=team), secret


def rotate(keys: Keys, name: str, overlap_s: float, now: float) -> tuple[dict[str, Key], str]:
    """With a new secret for this key; the one before goes on being good for ``overlap_s`` seconds. InputError when there is no such key."""
    if not 0 <= overlap_s <= 30 * DAY_S:
        raise InputError(f"an overlap of {overlap_s:g} s is none.", where=WHERE, remedy="Use 0 to 30 days.")
    old, secret = find(keys, name), PREFIX + secrets.token_urlsafe(32)
    previous, until = (old.sha256, now + overlap_s) if overlap_s else ("", 0.0)
    turned = replace(old, sha256=digest(secret), created_at=now, previous=previous, previous_until=until)
    return {**keys, name: turned}, secret


def revoke(keys: Keys, name: str) -> dict[str, Key]:
    """Without this key. InputError when there is none."""
    find(keys, name)
    return {known: key for known, key in keys.items() if known != name}


def find(keys: Keys, name: str) -> Key:
    """The key of this name. InputError when there is none."""
    if name not in keys:
        raise InputError(f"there is no key {name!r:.80}.", where=WHERE, remedy=f"There are: {', '.join(sorted(keys)) or 'none'}.")
    return keys[name]


def read(path: Path) -> dict[str, Key]:
    """The keys in the file, by name; none where there is no such file. InputError for one that can't be read."""
    try:
        return {row["name"]: _key(row) for row in json.loads(path.read_text())}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"holds no keys ({error!r:.200}).", where=str(path), remedy="Put it aside, and make the keys anew.") from error


def write(path: Path, keys: Keys) -> None:
    """Keep these keys (mode 0600): hashes, no secrets."""
    atomic.write(path, json.dumps([asdict(key) for _, key in sorted(keys.items())], indent=1))


def _key(row: Mapping[str, Any]) -> Key:
    return Key(**{**row, "models": tuple(row["models"]), "verbs": tuple(row["verbs"])})
