"""Callers' keys of the gateway, for admins, of Airflow or of a team: made, listed, rotated, revoked.

Each secret is in one answer, and nowhere else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Path, status
from pydantic import Field

from api_shared.auth import is_admin, may_read, may_write
from api_shared.problems import Refusal, responses
from api_shared.teams import Mine, TheirOwn
from include.gateway.key_ring import KeyRing, Listed
from include.gateway.keys import VERBS
from include.pool.teams import Role
from include.runtime.settings import Settings
from lifecycle.api.fields import Body, Line, Model
from lifecycle.db import audit

router = APIRouter(prefix="/v1/keys", tags=["keys"])
Rules = Annotated[bool, Depends(is_admin)]


async def keeps_keys(name: Annotated[str, Depends(may_read)], admin: Rules, own: TheirOwn) -> str:
    """Return the caller's name. 403 for whoever is an admin neither of Airflow nor, by the setting, of any team."""
    if not admin and not own.admins():
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This needs an admin's rights, here or in a team.")
    return name


async def changes_keys(name: Annotated[str, Depends(keeps_keys)], _: Annotated[str, Depends(may_write)]) -> str:
    """The same, of one who may change anything at all."""
    return name


Reader = Annotated[str, Depends(keeps_keys)]
Keeper = Annotated[str, Depends(changes_keys)]
Verb = Literal["infer", "metadata"]
KeyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
InPath = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]


class KeyBody(Body):
    """A key to be made. ``models`` empty: good for all of them; ``days`` null: good until it is revoked; ``team``: whose it is,
    for budgets and cost."""

    name: KeyName
    models: Annotated[list[Model], Field(max_length=200, default_factory=list)]
    verbs: Annotated[list[Verb], Field(min_length=1, max_length=2, default_factory=lambda: list(VERBS))]
    days: Annotated[float | None, Field(gt=0, le=3650, allow_inf_nan=False)] = None
    team: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,62})?$")] = ""


class RotateBody(Body):
    """``overlap_hours``: so long the secret before stays good."""

    overlap_hours: Annotated[float, Field(ge=0, le=720, allow_inf_nan=False)] = 0.0


class KeyRow(Body):
    """A key without its secret. ``own``: the platform's, kept in its credentials and not to be changed here."""

    name: Line
    own: bool
    team: Line
    models: list[Line]
    verbs: list[Verb]
    created_at: datetime | None
    created_by: Line
    expires_at: datetime | None
    last_used: datetime | None


class SecretRow(Body):
    """The key itself, shown this once."""

    name: Line
    key: Line


class RevokedRow(Body):
    revoked: bool


@router.get("", response_model=list[KeyRow], responses=responses())
def list_keys(_: Reader, admin: Rules, own: TheirOwn) -> Any:
    """Every key, or those of the teams that the caller is an admin of, with scope, end and last use; no secrets."""
    found = [_row(listed) for listed in _ring().list()]
    return found if admin else [row for row in found if own.admin_of(row.team)]


@router.post("", response_model=SecretRow, status_code=status.HTTP_201_CREATED, responses=responses(409, body=True))
def add_key(body: KeyBody, user: Keeper, admin: Rules, own: TheirOwn, session: SessionDep) -> Any:
    """Make a key; it is in force when this answers. 409 for a name that is taken."""
    if not admin:
        _insist_theirs(own, body.team)
        if not body.models or not all(own.model(model, Role.OPERATOR) for model in body.models):
            raise Refusal(status.HTTP_403_FORBIDDEN, "models: name those that the key is good for, all of them your team's.")
    ring = _ring()
    if any(listed.name == body.name for listed in ring.list()):
        raise Refusal(status.HTTP_409_CONFLICT, f"There is a key {body.name!r} already: rotate it, or choose another name.")
    scope: dict[str, Any] = {"models": body.models, "verbs": body.verbs, "days": body.days, "team": body.team}
    audit.record(session, user, "key made", "key", body.name, "", scope)
    session.commit()  # first: nothing is done that is not recorded
    made = ring.add(body.name, models=body.models, verbs=body.verbs, days=body.days, by=user, team=body.team)
    return SecretRow(name=body.name, key=made)


@router.post("/{name}/rotate", response_model=SecretRow, responses=responses(404, body=True))
def rotate_key(name: InPath, body: RotateBody, user: Keeper, admin: Rules, own: TheirOwn, session: SessionDep) -> Any:
    """Give a key a new secret."""
    ring = _known(name, own, admin)
    audit.record(session, user, "key rotated", "key", name, "", {"overlap_hours": body.overlap_hours})
    session.commit()
    return SecretRow(name=name, key=ring.rotate(name, body.overlap_hours * 3600))


@router.delete("/{name}", response_model=RevokedRow, responses=responses(404))
def revoke_key(name: InPath, user: Keeper, admin: Rules, own: TheirOwn, session: SessionDep) -> Any:
    """End a key: it opens nothing any more when this answers."""
    ring = _known(name, own, admin)
    audit.record(session, user, "key revoked", "key", name)
    session.commit()
    ring.revoke(name)
    return RevokedRow(revoked=True)


def _ring() -> KeyRing:
    return KeyRing(Settings.load())


def _insist_theirs(own: Mine, team: str) -> None:
    """403 for whoever is no admin of the team."""
    if not own.admin_of(team):
        raise Refusal(status.HTTP_403_FORBIDDEN, "This needs an admin's rights, here or in the key's team.")


def _known(name: str, own: Mine, admin: bool) -> KeyRing:
    ring = _ring()
    found = next((listed.key for listed in ring.list() if listed.name == name and listed.key), None)
    if not admin:
        _insist_theirs(own, found.team if found else "")
    if found is None:
        raise Refusal(status.HTTP_404_NOT_FOUND, f"There is no key {name!r} that could be changed.")
    return ring


def _row(listed: Listed) -> KeyRow:
    key = listed.key
    return KeyRow(
        name=listed.name,
        own=key is None,
        team=key.team if key else "",
        models=list(key.models) if key else [],
        verbs=list(key.verbs) if key else list(VERBS),  # type: ignore[arg-type]
        created_at=_time(key.created_at) if key else None,
        created_by=key.created_by if key else "",
        expires_at=_time(key.expires_at) if key else None,
        last_used=_time(listed.last_used),
    )


def _time(at: float | None) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at else None
