"""Callers' keys as people handle them: made, listed, rotated, revoked, on a running gateway or one that is down."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from include.gateway import keys
from include.gateway.gateway import Gateway
from include.gateway.keys import VERBS, Key
from include.gateway.last_use import LastUse
from include.runtime.settings import Settings


@dataclass(frozen=True)
class Listed:
    """A key without its secret. ``key`` is None for one of the platform's own callers; ``last_used`` in seconds since the epoch."""

    name: str
    key: Key | None
    last_used: float | None


class KeyRing:
    """The gateway's keys. Every change is in force when the call returns."""

    def __init__(self, settings: Settings, gateway: Gateway | None = None) -> None:
        self._gateway = gateway or Gateway(settings)
        self._use = LastUse(settings.gateway_log, settings.key_use)

    def add(
        self,
        name: str,
        *,
        models: Iterable[str] = (),
        verbs: Iterable[str] = VERBS,
        days: float | None = None,
        by: str = "",
        team: str = "",
    ) -> str:
        """Make a key; its secret, which is not kept. InputError for a name that is taken, or a scope that is none."""
        key, secret = keys.make(name, models=models, verbs=verbs, days=days, by=by, team=team, now=time.time())
        self._gateway.change_keys(lambda known: keys.add(known, self._gateway.callers, key))
        return secret

    def rotate(self, name: str, overlap_s: float = 0.0) -> str:
        """Give a key a new secret, and return it; the one before ends after ``overlap_s`` seconds. InputError when there is no such key."""
        found: list[str] = []

        def change(known: dict[str, Key]) -> dict[str, Key]:
            after, secret = keys.rotate(known, name, overlap_s, time.time())
            found.append(secret)
            return after

        self._gateway.change_keys(change)
        return found[0]

    def revoke(self, name: str) -> None:
        """End a key. InputError when there is none."""
        self._gateway.change_keys(lambda known: keys.revoke(known, name))

    def list(self) -> list[Listed]:
        """Every key, the platform's own callers first."""
        used, found = self._use.update(), self._gateway.keys()
        own = [Listed(name, None, used.get(name)) for name in sorted(self._gateway.callers)]
        return own + [Listed(name, key, used.get(name)) for name, key in sorted(found.items())]
