"""Who did what to which model, key, quota, budget or alert: one list, filtered, as JSON, JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Query
from fastapi.responses import PlainTextResponse

from api_shared.auth import may_read
from api_shared.problems import responses
from api_shared.teams import NOBODYS, Mine, TheirOwn, teams_of_models
from include.acts.audit import KINDS, AuditLine, Wanted, as_csv, as_json_lines
from include.evidence.chain import moment
from include.gateway.gateway import Gateway
from include.runtime.settings import Settings
from lifecycle.api.fields import Body, Count, Line, Text
from lifecycle.db import audit

router = APIRouter(prefix="/v1", tags=["audit"], dependencies=[Depends(may_read)])
MOST_EXPORTED = 20_000
Word = Annotated[str, Query(max_length=255)]
When = Annotated[datetime | None, Query()]
FORMS = {"csv": (as_csv, "text/csv"), "jsonl": (as_json_lines, "application/jsonl")}


class AuditRow(Body):
    """One act. ``entry`` is its number in the chain of hashes, null for what is kept outside of it; ``detail`` is JSON."""

    at: Line
    who: Line
    act: Line
    kind: Literal[*KINDS]  # type: ignore[valid-type]
    name: Line
    why: Text
    entry: Count | None
    detail: Text


@router.get("/audit", response_model=list[AuditRow], responses={**responses(), 200: {"content": {"text/csv": {}, "application/jsonl": {}}}})
def list_audit(
    session: SessionDep,
    own: TheirOwn,
    kind: Annotated[Literal[*KINDS] | None, Query(description="Done to what.")] = None,  # type: ignore[valid-type]
    name: Word = "",
    who: Word = "",
    text: Word = "",
    since: When = None,
    until: When = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    format: Literal["json", "jsonl", "csv"] = "json",
) -> Any:
    """Who did what, the newest first. As ``csv`` or ``jsonl`` (a line each) all that is asked for, 20,000 at most."""
    wanted = Wanted(kind or "", name, who, _utc(since), _utc(until), text)
    found = audit.lines(session, wanted, limit if format == "json" else MOST_EXPORTED, own.everything or _of_teams(own))
    if format == "json":
        return [vars(line) for line in found]
    write, media = FORMS[format]
    headers = {"Content-Disposition": f"attachment; filename=audit.{format}"}
    return PlainTextResponse(write(found), media_type=f"{media}; charset=utf-8", headers=headers)


def _of_teams(own: Mine) -> Callable[[AuditLine], bool]:
    """What a caller from whom something is held back may see: acts on their teams' models, keys, quotas and budgets, and their own."""
    keys, models = Gateway(Settings.load()).keys(), teams_of_models()

    def theirs(line: AuditLine) -> bool:
        if line.who == own.name:
            return True
        scope, _, name = line.name.partition(" ") if line.kind == "budget" else (line.kind, "", line.name)
        if scope in ("model", "alert"):
            return bool(name) and own.team(models.get(name, NOBODYS))
        if scope == "key":
            return own.team(keys[name].team if name in keys else "")
        return scope in ("quota", "team") and own.team(name)

    return theirs


def _utc(at: datetime | None) -> str:
    """A time without a zone is UTC."""
    return "" if at is None else moment(at if at.tzinfo else at.replace(tzinfo=UTC))
