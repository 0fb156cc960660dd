"""Who asks: pages show what may be done, and no more."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from api_shared.auth import is_admin, may_read
from api_shared.problems import responses
from api_shared.teams import TheirOwn
from lifecycle.api.fields import Body, Line

router = APIRouter(prefix="/v1", tags=["overview"])


class MeRow(Body):
    name: Line
    admin: bool
    teams: dict[Line, Line]
    """Team → role, where the setting holds something back; empty where everything is everybody's."""


@router.get("/me", response_model=MeRow, responses=responses())
def get_me(name: Annotated[str, Depends(may_read)], admin: Annotated[bool, Depends(is_admin)], own: TheirOwn) -> Any:
    """Who asks, and whether it has an admin's rights."""
    return MeRow(name=name, admin=admin, teams={} if own.everything else own.roles())
