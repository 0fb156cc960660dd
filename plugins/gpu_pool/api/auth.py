"""Agents of the GPU pool: each has a token of its own, which opens its own nodes' reports alone."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, HTTPException, Request, status
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import or_, select

from gpu_pool.db.store import AGENT, Store
from include.errors import UpdraftError

agent_token = HTTPBearer(auto_error=False, scheme_name="AgentToken", description="An agent's token, from POST /v1/agents/{reporter}.")


class Forbidden(UpdraftError):
    """The caller is known, and may not (403)."""


@dataclass(frozen=True)
class Reporter:
    """Whoever holds a valid agent token: the node of its own name, or all of a cluster's."""

    name: str
    cluster: bool

    def owns(self, node: str) -> bool:
        return node.startswith(f"{self.name}/") and len(node) > len(self.name) + 1 if self.cluster else node == self.name


def new_token() -> tuple[str, str]:
    """256 random bits for the agent, and their SHA-256 for the database: what is kept opens nothing."""
    token = secrets.token_urlsafe(32)
    return token, digest(token)


def digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


async def reporting(
    request: Request, reporter: str, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(agent_token)]
) -> Reporter:
    """The agent whose token this is. 401 without a valid one (a user's is none), 403 if it is another reporter's."""
    if bearer is None:
        raise _unknown("Not authenticated: give the agent's token.")
    store: Store = request.app.state.store
    return await run_in_threadpool(_reporting, store, reporter, digest(bearer.credentials))


def _reporting(store: Store, reporter: str, given: str) -> Reporter:
    query = select(AGENT).where(or_(AGENT.c.reporter == reporter, AGENT.c.token_sha256 == given))
    with store.reading() as connection:
        rows = list(connection.execute(query))
    owner = next((row for row in rows if hmac.compare_digest(row.token_sha256, given)), None)
    if owner is None:
        raise _unknown("That is not this agent's token.")
    if owner.expires_at <= time.time():
        raise _unknown("The agent's token has expired: an admin gives a new one.")
    if owner.reporter != reporter:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This token is another reporter's.")
    return Reporter(owner.reporter, owner.cluster)


def _unknown(detail: str) -> HTTPException:
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
