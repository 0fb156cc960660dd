"""What a month has cost, as JSON and as CSV, and the price table behind it."""

from __future__ import annotations

import csv
import io
import time
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Query, status
from fastapi.responses import PlainTextResponse
from sqlalchemy.orm import Session

from api_shared.auth import may_read, may_rule
from api_shared.problems import responses
from api_shared.teams import TheirOwn
from gpu_pool.db.uses import between
from include.cost.bill import Bill, bill, csv_rows
from include.cost.month import FORM, Month
from include.errors import UpdraftError
from include.prices import table
from include.prices.table import Changes, Prices
from include.runtime.settings import Settings
from lifecycle.api.fields import Body, Line
from lifecycle.api.usage import metered, team_of_tokens
from lifecycle.db import audit

router = APIRouter(prefix="/v1", tags=["cost"], dependencies=[Depends(may_read)])
MOST_LINES = 1000
OfMonth = Annotated[str | None, Query(pattern=FORM, description="Year and month, in UTC (`2026-12`). Default: this month.")]
Admin = Annotated[str, Depends(may_rule)]


class SumRow(Body):
    """What one team or model comes to. ``unpriced``: some of it has no price, and is not in ``cost``."""

    name: Line
    gpu_hours: float
    tokens: int
    cost: float
    unpriced: bool


class GpuLineRow(Body):
    """GPU-hours of one work on one GPU model at one rate; ``cost`` null: that GPU has no price. ``running``: leases that still live."""

    team: Line
    model: Line
    run: Line
    what: Line
    gpu: Line
    spot: bool
    simulated: bool
    leases: int
    running: int
    gpu_hours: float
    cost: float | None


class TokenLineRow(Body):
    """Tokens that one key asked of one model; ``cost`` null: they have no price."""

    team: Line
    client: Line
    model: Line
    requests: int
    untold: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


class CostRow(Body):
    """A month's cost, in ``currency``, made up at ``until`` (seconds since the epoch). Of ``gpus`` and ``tokens`` the most expensive lines;
    ``left_out`` more are in the CSV."""

    month: Line
    until: float
    currency: Line
    total: SumRow
    by_team: list[SumRow]
    by_model: list[SumRow]
    gpus: list[GpuLineRow]
    tokens: list[TokenLineRow]
    left_out: int


class PricesBody(Body):
    """What differs from the project's price table, part by part, in the form of its file; empty: nothing does."""

    changes: Changes


class PricesRow(Body):
    """The price table in force, and what of it an administrator has changed."""

    prices: Prices
    changes: Changes


@router.get("/cost", response_model=CostRow, responses={**responses(), 200: {"content": {"text/csv": {"schema": {"type": "string"}}}}})
def get_cost(
    session: SessionDep,
    own: TheirOwn,
    month: OfMonth = None,
    format: Annotated[Literal["json", "csv"], Query(description="As JSON, or as CSV.")] = "json",
) -> Any:
    """What a month has cost: GPU-hours by team, model and run, tokens by key and model, with their prices and sums."""
    found = _bill(session, month).of_teams(own.team)
    if format == "csv":
        name = f"attachment; filename=cost-{found.month}.csv"
        return PlainTextResponse(as_csv(found), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})
    return {
        "month": str(found.month),
        "until": found.until,
        "currency": found.currency,
        "total": vars(found.total()),
        "by_team": [vars(one) for one in found.by_team()],
        "by_model": [vars(one) for one in found.by_model()],
        "gpus": [vars(line) for line in found.gpus[:MOST_LINES]],
        "tokens": [vars(line) for line in found.tokens[:MOST_LINES]],
        "left_out": sum(max(0, len(lines) - MOST_LINES) for lines in (found.gpus, found.tokens)),
    }


@router.get("/prices", response_model=PricesRow, response_model_exclude_unset=True, responses=responses())
def get_prices() -> Any:
    """The price table in force."""
    path = Settings.load().prices
    changes = table.read_changes(path)
    return {"prices": table.over(changes, str(path)), "changes": Changes.model_validate(changes)}


@router.put("/prices", response_model=PricesRow, response_model_exclude_unset=True, responses=responses(body=True))
def put_prices(body: PricesBody, user: Admin, session: SessionDep) -> Any:
    """Set what differs from the project's price table. Months that are over are told by the new prices too."""
    changes = body.changes.model_dump(exclude_unset=True)
    table.over(changes, "prices")
    audit.record(session, user, "prices set", "prices", "", "", changes)
    session.commit()
    return {"prices": table.write(Settings.load().prices, changes), "changes": body.changes}


def as_csv(found: Bill) -> str:
    """Return the bill as CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows(csv_rows(found))
    return text.getvalue()


def _bill(session: Session, month: str | None) -> Bill:
    now = time.time()
    chosen = Month.parse(month) if month else Month.of(now)
    try:
        prices = table.read(Settings.load().prices)
    except (UpdraftError, OSError) as error:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, f"The price table cannot be read: {error}") from None
    return bill(chosen, now, prices, between(session, chosen.begin, chosen.end), metered(), team_of_tokens())
