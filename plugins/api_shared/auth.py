"""Who may do what: viewers read, operators write, admins rule, and the platform's own service alone keeps evidence.

An admin is, under Airflow's simple auth manager, a user of role admin: none of its other permissions tells an admin from an operator. Any
other auth manager is asked whether the user may PUT the custom view :data:`VIEW`.

The service is the one user of the name in Airflow's option ``[lifecycle] service_user`` (``updraft``): its password is the platform's, and
no person has it.
"""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, VariableDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.configuration import conf
from fastapi import Depends, HTTPException, status
from fastapi.concurrency import run_in_threadpool

from api_shared.known import caller
from include.runtime.credentials import SERVICE

VIEW = "Updraft GPU pool"
User = Annotated[BaseUser, Depends(caller)]


async def may_read(user: User) -> str:
    """The caller's name. 401 without a valid token, 403 for a user who may not see plugins."""
    if not await _allowed(lambda: get_auth_manager().is_authorized_view(access_view=AccessView.PLUGINS, user=user)):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not view plugins.")
    return str(user.get_name())


async def may_write(user: User, name: Annotated[str, Depends(may_read)]) -> str:
    """The name of an operator or admin: who may edit Airflow's variables. 403 for any other."""
    allowed = await _allowed(
        lambda: get_auth_manager().is_authorized_variable(method="PUT", details=VariableDetails(key="updraft"), user=user)
    )
    if not allowed:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This needs an operator's rights (role op or admin).")
    return name


async def is_admin(user: User) -> bool:
    """Whether the caller is an admin."""
    return await rules(user)


async def rules(user: BaseUser) -> bool:
    """Whether this user is an admin."""
    manager = get_auth_manager()
    if isinstance(manager, SimpleAuthManager):
        return str(getattr(user, "role", "")).lower() == "admin"
    return await _allowed(lambda: manager.is_authorized_custom_view(method="PUT", resource_name=VIEW, user=user))


async def may_rule(name: Annotated[str, Depends(may_read)], admin: Annotated[bool, Depends(is_admin)]) -> str:
    """An admin's name. 403 for any other."""
    if not admin:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This needs an admin's rights.")
    return name


async def may_keep(name: Annotated[str, Depends(may_write)]) -> str:
    """The service's name. 403 for any person, admins included: what a run has found is no person's to write."""
    if name != service_user():
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Only the platform's own service keeps what runs have found.")
    return name


def service_user() -> str:
    """Name of the user that the platform's tasks and keepers call with."""
    return str(conf.get("lifecycle", "service_user", fallback=SERVICE))


async def _allowed(question: object) -> bool:
    """The simple auth manager answers out of the token; any other may ask a database, for which nobody else should wait."""
    assert callable(question)
    if isinstance(get_auth_manager(), SimpleAuthManager):
        return bool(question())
    return bool(await run_in_threadpool(question))
