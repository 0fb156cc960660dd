"""Who may do what: viewers read, operators (those who may edit Airflow's variables) write."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, VariableDetails
from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, HTTPException, status


def may_read(user: Annotated[BaseUser, Depends(get_user)]) -> None:
    """401 without a valid token (get_user), 403 for a user who may not see plugins."""
    if not get_auth_manager().is_authorized_view(access_view=AccessView.PLUGINS, user=user):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not view plugins.")


def may_write(user: Annotated[BaseUser, Depends(get_user)]) -> None:
    if not get_auth_manager().is_authorized_variable(method="PUT", details=VariableDetails(key="updraft"), user=user):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This needs an operator's rights (role op or admin).")
