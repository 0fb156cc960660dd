"""What a model was asked over a range of time, out of the log of this machine's gateway: by step, and by revision."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Query

from api_shared.auth import may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import of_their_teams
from include.gateway import past
from include.gateway.past import MOST_STEPS, Past, Step, Steps
from include.runtime.settings import Settings
from lifecycle.api.serving.datamodels import Metrics, MetricsStep, RevisionMetrics
from lifecycle.api.serving.read import MODELS, InModel, known_model

router = APIRouter(prefix="/v1", dependencies=[Depends(may_read), Depends(of_their_teams)])
RANGE = timedelta(hours=3)
"""That is told of where nobody says since when."""
DAY_S = 86_400
LONGEST = timedelta(days=366)
WAIT_S = 10.0
"""A reader of the log is waited for as long as this."""
MOST_AT_ONCE = 5
"""Who reads, and who waits for that: each holds one of the server's few threads, which other routes need."""
_reading, _asking = threading.Lock(), threading.BoundedSemaphore(MOST_AT_ONCE)
BUSY = "The gateway's log is being read for others: ask again in some seconds, or for a shorter range."
NO_LOG = "This machine has no gateway's log: what the model is asked, another gateway knows."


@router.get("/models/{model}/metrics", tags=[MODELS], response_model=Metrics, responses=responses(404, 503))
def read_metrics(
    model: InModel,
    session: SessionDep,
    since: Annotated[datetime | None, Query(description="Three hours before `until`. A time without a zone is UTC.")] = None,
    until: Annotated[datetime | None, Query(description="Now.")] = None,
    step: Annotated[int | None, Query(ge=1, le=DAY_S, description="Seconds; chosen for the range.", examples=[60])] = None,
) -> Any:
    """What callers asked of the model over a range of time, out of the gateway's log: requests, errors, p50 and p95, tokens, by revision.

    1,000 steps at most. The log keeps 320 MiB, of which the last 64 are read: `known_since` says how far back that goes.
    """
    known_model(session, model)
    begin, end, step_s = _range(since, until, step)
    return _answer(model, begin, end, step_s, _read(model, begin, end, step_s))


def _read(model: str, begin: int, end: float, step_s: int) -> Past:
    if not _asking.acquire(blocking=False):
        raise Refusal(503, BUSY)
    try:
        if not _reading.acquire(timeout=WAIT_S):
            raise Refusal(503, BUSY)
        try:
            return past.past(Settings.load().gateway_log, model, begin, end, step_s)
        finally:
            _reading.release()
    finally:
        _asking.release()


def _range(since: datetime | None, until: datetime | None, step: int | None) -> tuple[int, float, int]:
    """Return where a range begins and ends (seconds since the epoch), and its step; it begins with a step."""
    end = datetime.now(UTC) if until is None else _utc(until)
    try:
        begin = end - RANGE if since is None else _utc(since)
    except OverflowError:
        raise Refusal(422, "until: lies before all time.") from None
    if begin >= end:
        raise Refusal(422, "since: has to lie before `until`.")
    if end - begin > LONGEST:
        raise Refusal(422, f"since: a range has {LONGEST.days} days at most.")
    seconds = (end - begin).total_seconds()
    step_s = step or past.step_of(seconds)
    if seconds / step_s > MOST_STEPS:
        raise Refusal(
            422, f"step: the range would have {seconds / step_s:,.0f} steps of {step_s} s, {MOST_STEPS:,} is the most: take a longer one."
        )
    if begin.year < 1970 or end.year > 9000:
        raise Refusal(422, "since, until: no gateway was there then.")
    return int(begin.timestamp() // step_s) * step_s, end.timestamp(), step_s


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _answer(model: str, begin: int, end: float, step_s: int, found: Past) -> Metrics:
    known = found.known_since_s
    return Metrics(
        model=model,
        since=_moment(begin),
        until=_moment(end),
        step_s=step_s,
        known_since=None if known is None else _moment(known),
        problem=NO_LOG if known is None else "",
        steps=_steps(found.all),
        revisions=[
            RevisionMetrics(version=int(name) if name.isdigit() and int(name) else None, steps=_steps(steps))
            for name, steps in sorted(found.revisions.items(), key=lambda one: int(one[0]) if one[0].isdigit() else 0)
        ],
    )


def _steps(steps: Steps) -> list[MetricsStep]:
    return [_step(steps[at]) for at in sorted(steps)]


def _step(step: Step) -> MetricsStep:
    return MetricsStep(
        at=_moment(step.at_s),
        requests=step.requests,
        errors=step.errors,
        refused=step.refused,
        fallbacks=step.fallbacks,
        p50_ms=step.quantile_ms(0.5),
        p95_ms=step.quantile_ms(0.95),
        prompt_tokens=step.prompt_tokens,
        completion_tokens=step.completion_tokens,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
