"""What keys, teams and models may use in a month, how far that is used, and who may change it: admins."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Path
from pydantic import Field
from sqlalchemy.orm import Session

from api_shared.auth import may_read, may_rule
from api_shared.problems import Refusal, responses
from api_shared.teams import NOBODYS, TheirOwn, teams_of_models
from include.budgets.status import Status
from include.cost.month import Month
from include.gateway.budgets import KEY, MOST_GPU_HOURS, MOST_TOKENS, SCOPES, TEAM, Budget
from include.gateway.credentials import PROBE_CLIENT
from include.gateway.gateway import Gateway
from include.runtime.settings import Settings
from lifecycle.api.fields import Body, Count, Line
from lifecycle.db import audit, budgets

router = APIRouter(prefix="/v1/budgets", tags=["budgets"], dependencies=[Depends(may_read)])
Admin = Annotated[str, Depends(may_rule)]
Scope = Literal[*SCOPES]  # type: ignore[valid-type]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Why = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]


class BudgetBody(Body):
    """What may be used in a calendar month (UTC): ``tokens`` of language models, ``gpu_hours`` of the pool (not of a key); null: as much as
    one likes. People are told from ``warn`` (a share) on. ``why`` is kept with it."""

    tokens: Annotated[int | None, Field(ge=0, le=MOST_TOKENS)] = None
    gpu_hours: Annotated[float | None, Field(ge=0, le=MOST_GPU_HOURS, allow_inf_nan=False, strict=False)] = None
    warn: Annotated[float, Field(gt=0, le=1, strict=False)] = 0.8
    why: Why = ""


class BudgetRow(Body):
    """A budget, and what this month has used of it; ``tokens_reserved`` is what requests under way may come to at most."""

    scope: Scope
    name: Line
    tokens: Count | None
    gpu_hours: float | None
    warn: float
    tokens_used: Count
    tokens_reserved: Count
    gpu_hours_used: float
    share: float
    level: Literal["fine", "warned", "used up"]


@router.get("", response_model=list[BudgetRow], responses=responses())
def list_budgets(session: SessionDep, own: TheirOwn) -> Any:
    """Every budget with what this month has used of it, those used most first."""
    whose = team_of_budget()
    return [_row(one) for one in _now(session) if own.team(whose(one.budget))]


@router.put("/{scope}/{name}", response_model=BudgetRow, responses=responses(404, body=True))
def put_budget(scope: Scope, name: Name, body: BudgetBody, user: Admin, session: SessionDep) -> Any:
    """Set what one key, team or model may use in a month; it is in force when this answers. What the month has used already counts."""
    if body.tokens is None and body.gpu_hours is None:
        raise Refusal(422, "tokens, gpu_hours: give at least one of them, or remove the budget.")
    if (scope, name) == (KEY, PROBE_CLIENT):
        raise Refusal(422, "The platform's own key has no budget: its probes and batch runs reserve nothing.")
    budget, gateway = Budget(scope, name, body.tokens, body.gpu_hours, body.warn), Gateway(Settings.load())
    if scope == KEY and name not in {*gateway.keys(), *gateway.callers}:
        raise Refusal(404, f"There is no key {name!r}.")
    audit.record(session, user, "budget set", "budget", f"{scope} {name}", body.why, _said(body))
    session.commit()  # first: nothing is done that is not recorded
    gateway.set_budget(budget)
    return next(_row(one) for one in _now(session) if one.budget.of == budget.of)


@router.delete("/{scope}/{name}", response_model=Line, responses=responses(404))
def delete_budget(scope: Scope, name: Name, user: Admin, session: SessionDep) -> Any:
    """Let one key, team or model use as much as it likes again."""
    gateway = Gateway(Settings.load())
    if (scope, name) not in gateway.budgets():
        raise Refusal(404, f"There is no budget of {scope} {name}.")
    audit.record(session, user, "budget removed", "budget", f"{scope} {name}")
    session.commit()
    gateway.set_budget(Budget(scope, name))
    return f"{scope} {name} has no budget any more."


def team_of_budget() -> Callable[[Budget], str]:
    """Return whose a budget is: the team's own, that of the key, or that of the model."""
    keys, models = Gateway(Settings.load()).keys(), teams_of_models()

    def whose(budget: Budget) -> str:
        if budget.scope == KEY:
            return keys[budget.name].team if budget.name in keys else ""
        return budget.name if budget.scope == TEAM else models.get(budget.name, NOBODYS)

    return whose


def _said(body: BudgetBody) -> dict[str, float]:
    told = (("tokens", body.tokens), ("gpu_hours", body.gpu_hours), ("warn", body.warn))
    return {name: value for name, value in told if value is not None}


def _now(session: Session) -> list[Status]:
    at = time.time()
    return budgets.now(session, Settings.load(), Month.of(at), at)


def _row(one: Status) -> BudgetRow:
    return BudgetRow(
        **vars(one.budget),
        tokens_used=one.tokens_used,
        tokens_reserved=one.tokens_reserved,
        gpu_hours_used=one.gpu_hours_used,
        share=one.share,
        level=one.level.value,
    )
