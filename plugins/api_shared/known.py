"""Who calls, by Airflow's own check of the token; for a second the same token need not be checked again.

The check asks the database three times whether the token was revoked, and every other request waits meanwhile: at 16 busy clients of one
user most of the server's time went there. So a token that was logged out, or has expired, may still be taken for up to KNOWN_S.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user, resolve_user_from_token
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

KNOWN_S = 1.0
MOST = 1024

Resolve = Callable[[str], Awaitable[BaseUser]]


class Known:
    """Tokens found good a moment ago, by their SHA-256: what is kept opens nothing. A refusal is never remembered."""

    def __init__(self, resolve: Resolve = resolve_user_from_token, clock: Callable[[], float] = time.monotonic) -> None:
        self._resolve, self._clock = resolve, clock
        self._users: dict[bytes, tuple[float, BaseUser]] = {}

    async def user(self, token: str) -> BaseUser:
        """Raises HTTPException as Airflow does: 401 for an expired token, 403 for one that is none."""
        key, now = sha256(token.encode(errors="replace")).digest(), self._clock()
        until, user = self._users.get(key, (0.0, None))
        if user is None or now >= until:
            self._users.pop(key, None)
            user = await self._resolve(token)
            if len(self._users) >= MOST:
                self._users.clear()
            self._users[key] = now + KNOWN_S, user
        return user


_known = Known()


async def caller(request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)]) -> BaseUser:
    """Airflow's ``get_user``: the bearer token, else the session's cookie."""
    if bearer is not None and bearer.scheme.lower() == "bearer":
        return await _known.user(bearer.credentials)
    return await get_user(request, None, bearer)
