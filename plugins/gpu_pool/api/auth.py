"""Who may do what with the GPU pool: viewers read, operators request, admins set quotas, cordon and force. Agents have tokens of their own.

An admin is, under Airflow's simple auth manager, a user of role admin: none of its other permissions tells an admin from an operator. Any
other auth manager is asked whether the user may PUT the custom view "Updraft GPU pool".
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, VariableDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from fastapi import Depends, HTTPException, Request, status
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import or_, select

from gpu_pool.api.known import caller
from gpu_pool.db.store import AGENT, Store
from include.errors import UpdraftError

VIEW = "Updraft GPU pool"
User = Annotated[BaseUser, Depends(caller)]
agent_token = HTTPBearer(auto_error=False, scheme_name="AgentToken", description="An agent's token, from POST /v1/agents/{reporter}.")


class Forbidden(UpdraftError):
    """The caller is known, and may not (403)."""


async def may_read(user: User) -> str:
    """The caller's name. 401 without a valid token, 403 for a user who may not see plugins."""
    if not await _asked(lambda: get_auth_manager().is_authorized_view(access_view=AccessView.PLUGINS, user=user)):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not view plugins.")
    return str(user.get_name())


async def may_write(user: User, name: Annotated[str, Depends(may_read)]) -> str:
    allowed = await _asked(
        lambda: get_auth_manager().is_authorized_variable(method="PUT", details=VariableDetails(key="updraft"), user=user)
    )
    if not allowed:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This needs an operator's rights (role op or admin).")
    return name


async def is_admin(user: User) -> bool:
    manager = get_auth_manager()
    if isinstance(manager, SimpleAuthManager):
        return str(getattr(user, "role", "")).lower() == "admin"
    return await _asked(lambda: manager.is_authorized_custom_view(method="PUT", resource_name=VIEW, user=user))


async def may_rule(name: Annotated[str, Depends(may_read)], admin: Annotated[bool, Depends(is_admin)]) -> str:
    if not admin:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This needs an admin's rights.")
    return name


async def _asked(question: object) -> bool:
    """The simple auth manager answers out of the token; any other may ask a database, for which nobody else should wait."""
    assert callable(question)
    if isinstance(get_auth_manager(), SimpleAuthManager):
        return bool(question())
    return bool(await run_in_threadpool(question))


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
