"""The bodies of the plugin's REST API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from include.serving.revision import RevisionState
from include.verdict import Decision
from lifecycle.db.models import RUN_KEY_LENGTH

Model = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
RunKey = Annotated[str, Field(min_length=1, max_length=RUN_KEY_LENGTH)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class RevisionBody(Body):
    model: Model
    version: Annotated[int, Field(ge=1)]
    state: RevisionState
    target: Annotated[str, Field(max_length=16)] = "process"
    backend: Annotated[str, Field(max_length=16)] = "triton"
    endpoint: Annotated[str, Field(max_length=255)] = ""
    message: Annotated[str, Field(max_length=4000)] = ""


class RevisionRow(RevisionBody):
    updated_at: datetime


class VerdictBody(Body):
    run_key: RunKey
    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    model: Model
    version: int | None = None
    decision: Decision
    body: dict[str, Any]


class VerdictRow(VerdictBody):
    at: datetime


class SpecBody(Body):
    run_key: RunKey
    model: Model
    spec: dict[str, Any]


class SpecRow(SpecBody):
    at: datetime


class LookBody(Body):
    run_key: RunKey
    number: Annotated[int, Field(ge=0)]
    body: dict[str, Any]


class LookRow(LookBody):
    at: datetime
