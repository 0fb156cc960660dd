"""Who has used how much of which language model: for the usage page, and for Prometheus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Query, status
from fastapi.responses import PlainTextResponse

from api_shared.auth import may_read
from api_shared.problems import PROMETHEUS, responses
from api_shared.teams import NOBODYS, TheirOwn, teams_of_models
from include import prometheus
from include.errors import UpdraftError
from include.gateway import keys
from include.gateway import rate_limits as limits
from include.gateway.metering import DEFAULT_INSTANCE, INSTANCES, Instance, Meter, Usage, instance
from include.prometheus import Labels
from include.runtime.settings import Settings
from lifecycle.api.datamodels import UsageRow
from lifecycle.api.figures import found_text

router = APIRouter(prefix="/v1", dependencies=[Depends(may_read)])
Priced = Annotated[Literal[*INSTANCES], Query(description="The machine whose price is taken.")]  # type: ignore[valid-type]
Days = Annotated[int, Query(ge=1, le=3660)]


@router.get("/usage", tags=["usage"], response_model=UsageRow, responses=responses())
def get_usage(own: TheirOwn, days: Days = 30, priced_as: Priced = DEFAULT_INSTANCE) -> dict[str, Any]:
    """Answers and tokens by day, key's owner and model, with what they cost, of the last days (UTC); and each owner's limits."""
    whose = team_of_tokens()
    price, today = instance(priced_as), datetime.now(UTC).date()
    since = (today - timedelta(days=days - 1)).isoformat()
    rows = [asdict(row) | {"usd": row.cost_usd(price)} for row in metered() if row.day >= since and own.team(whose(row.client, row.model))]
    return {
        "since": since,
        "until": today.isoformat(),
        "rows": rows,
        "limits": {
            client: asdict(limit) for client, limit in _limits().items() if own.everything or client in {row["client"] for row in rows}
        },
        "instance": {"name": priced_as, **asdict(price)},
        "instances": list(INSTANCES),
    }


@router.get("/metrics", tags=["usage"], response_model=None, responses={**responses(), 200: PROMETHEUS})
def get_metrics(own: TheirOwn, session: SessionDep, priced_as: Priced = DEFAULT_INSTANCE) -> PlainTextResponse:
    """Figures for Prometheus, in its text format: answers, tokens and cost since the platform first started; verdicts, runs, revisions. Of
    what is the caller's teams'."""
    whose = team_of_tokens()
    rows = [row for row in metered() if own.team(whose(row.client, row.model))]
    text = metrics_text(rows, priced_as, instance(priced_as)) + found_text(session, own.model)
    return PlainTextResponse(text, media_type=prometheus.CONTENT_TYPE)


def metrics_text(rows: Iterable[Usage], name: str, price: Instance) -> str:
    """Counters by key's owner and model; keys themselves are nowhere in it."""
    answers: dict[Labels, float] = defaultdict(float)
    tokens, untold, seconds, cost = (defaultdict(float, answers) for _ in range(4))
    for row in rows:
        who = (("client", row.client), ("model", row.model))
        answers[who] += row.requests
        tokens[*who, ("kind", "prompt")] += row.prompt_tokens
        tokens[*who, ("kind", "completion")] += row.completion_tokens
        untold[who] += row.untold
        seconds[who] += row.seconds
        cost[*who, ("instance", name)] += row.cost_usd(price)
    parts = (
        ("answers_total", "Answers of language models.", answers),
        ("tokens_total", "Tokens of prompts and of answers.", tokens),
        ("untold_answers_total", "Answers that ended before they told their tokens.", untold),
        ("server_seconds_total", "Time of servers, answers added up.", seconds),
        ("cost_usd_total", "Price of that time on this instance: an upper bound, as though each answer had it for itself.", cost),
    )
    lines = [line for suffix, about, series in parts for line in prometheus.metric(f"updraft_llm_{suffix}", "counter", about, series)]
    return "\n".join(lines) + "\n"


def metered() -> list[Usage]:
    """Return the table of usage up to now. Raises HTTPException (503) where it can't be read."""
    settings = Settings.load()
    try:
        return Meter(settings.gateway_log, settings.usage).update()
    except (UpdraftError, OSError) as error:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, f"The table of usage cannot be read: {error}") from None


def team_of_tokens() -> Callable[[str, str], str]:
    """Return whose a key's tokens of a model are: the key's team's, or if it has none the model's."""
    try:
        known = {name: key.team for name, key in keys.read(Settings.load().keys).items()}
    except UpdraftError:
        known = {}
    models = teams_of_models()
    return lambda client, model: known.get(client, "") or models.get(model, NOBODYS)


def _limits() -> dict[str, limits.Limit]:
    try:
        return limits.read(Settings.load().limits)
    except UpdraftError:
        return {}
