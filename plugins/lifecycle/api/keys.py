"""Callers' keys of the gateway, for admins: made, listed, rotated, revoked. Each secret is in one answer, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, status
from pydantic import Field

from api_shared.auth import may_rule
from api_shared.problems import Refusal, responses
from include.gateway.key_ring import KeyRing, Listed
from include.gateway.keys import VERBS
from include.runtime.settings import Settings
from lifecycle.api.fields import Body, Line, Model

router = APIRouter(prefix="/v1/keys", tags=["keys"])
Admin = Annotated[str, Depends(may_rule)]
Verb = Literal["infer", "metadata"]
KeyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
InPath = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]


class KeyBody(Body):
    """A key to be made. ``models`` empty: good for all of them; ``days`` null: good until it is revoked."""

    name: KeyName
    models: Annotated[list[Model], Field(max_length=200, default_factory=list)]
    verbs: Annotated[list[Verb], Field(min_length=1, max_length=2, default_factory=lambda: list(VERBS))]
    days: Annotated[float | None, Field(gt=0, le=3650, allow_inf_nan=False)] = None


class RotateBody(Body):
    """``overlap_hours``: so long the secret before stays good."""

    overlap_hours: Annotated[float, Field(ge=0, le=720, allow_inf_nan=False)] = 0.0


class KeyRow(Body):
    """A key without its secret. ``own``: the platform's, kept in its credentials and not to be changed here."""

    name: Line
    own: bool
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
def list_keys(_: Admin) -> Any:
    """Every key with its scope, its end and its last use; no secrets."""
    return [_row(listed) for listed in _ring().list()]


@router.post("", response_model=SecretRow, status_code=status.HTTP_201_CREATED, responses=responses(409, body=True))
def add_key(body: KeyBody, user: Admin) -> Any:
    """Make a key; it is in force when this answers. 409 for a name that is taken."""
    ring = _ring()
    if any(listed.name == body.name for listed in ring.list()):
        raise Refusal(status.HTTP_409_CONFLICT, f"There is a key {body.name!r} already: rotate it, or choose another name.")
    return SecretRow(name=body.name, key=ring.add(body.name, models=body.models, verbs=body.verbs, days=body.days, by=user))


@router.post("/{name}/rotate", response_model=SecretRow, responses=responses(404, body=True))
def rotate_key(name: InPath, body: RotateBody, _: Admin) -> Any:
    """Give a key a new secret."""
    return SecretRow(name=name, key=_known(name).rotate(name, body.overlap_hours * 3600))


@router.delete("/{name}", response_model=RevokedRow, responses=responses(404))
def revoke_key(name: InPath, _: Admin) -> Any:
    """End a key: it opens nothing any more when this answers."""
    _known(name).revoke(name)
    return RevokedRow(revoked=True)


def _ring() -> KeyRing:
    return KeyRing(Settings.load())


def _known(name: str) -> KeyRing:
    ring = _ring()
    if not any(listed.name == name and listed.key for listed in ring.list()):
        raise Refusal(status.HTTP_404_NOT_FOUND, f"There is no key {name!r} that could be changed.")
    return ring


def _row(listed: Listed) -> KeyRow:
    key = listed.key
    return KeyRow(
        name=listed.name,
        own=key is None,
        models=list(key.models) if key else [],
        verbs=list(key.verbs) if key else list(VERBS),  # type: ignore[arg-type]
        created_at=_time(key.created_at) if key else None,
        created_by=key.created_by if key else "",
        expires_at=_time(key.expires_at) if key else None,
        last_used=_time(listed.last_used),
    )


def _time(at: float | None) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at else None
