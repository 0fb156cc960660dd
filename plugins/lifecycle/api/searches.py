"""What a run's search is bound to, and its trials: written by the run's tasks, read by them and by pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Query
from pydantic import Field

from api_shared.auth import may_keep, may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import of_a_named_model
from include.search.plan import SearchState, Trial
from lifecycle.api.fields import AskedRunKey, Body, Count, Line, Model, RunKey, Text
from lifecycle.db import searches
from lifecycle.db.models import SearchPlan

router = APIRouter(prefix="/v1", tags=["searches"], dependencies=[Depends(may_read), Depends(of_a_named_model)])
Service = Annotated[str, Depends(may_keep)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Finite = int | Annotated[float, Field(allow_inf_nan=False)]
Value = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Text
Params = Annotated[dict[Name, Value], Field(min_length=1, max_length=50)]
Step = Annotated[list[Finite], Field(min_length=2, max_length=2)]
Place = Annotated[int, Field(ge=0, lt=10_000)]
PlanState = Annotated[SearchState, Field(strict=False)]


class AxisBody(Body):
    """One searched parameter: from ``low`` to ``high``, or one of ``choices``."""

    low: Finite = 0
    high: Finite = 0
    log: bool = False
    step: Finite | None = None
    whole: bool = False
    choices: Annotated[list[Value], Field(max_length=100, default_factory=list)]


class SearchPlanBody(Body):
    """What a search is bound to: ``first`` are the parameters of trial 0, the run's own; ``maximize`` says whether more is better."""

    axes: Annotated[dict[Name, AxisBody], Field(min_length=1, max_length=50)]
    first: Params
    trials: Annotated[int, Field(ge=1, le=10_000)]
    parallel: Annotated[int, Field(ge=1, le=1000)]
    sampler: Literal["tpe", "random", "grid", "cmaes"]
    seed: Count
    metric: Line
    maximize: bool
    folds: Annotated[int, Field(ge=1, le=100)]
    data: Line = ""
    """The hash of the table that is learnt from."""
    code: Line = ""
    """The digest of the model's code."""
    reduction: Annotated[int, Field(ge=0, le=100)] = 0
    warm_up: Annotated[int, Field(ge=0, le=1000)] = 0


class SearchBody(Body):
    run_key: RunKey
    model: Model
    plan: SearchPlanBody


class SearchTrialBody(Body):
    """One trial; ``steps`` are intermediate values, as pairs of a step (from 1) and a value."""

    run_key: RunKey
    number: Place
    params: Params
    state: PlanState = SearchState.RUNNING
    value: Finite | None = None
    steps: Annotated[list[Step], Field(max_length=10_000, default_factory=list)]
    message: Text = ""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class SearchTrialRow(Body):
    number: Count
    params: dict[Line, Value]
    state: PlanState
    value: Finite | None
    steps: list[Step]
    message: Text
    seconds: float
    at: datetime
    ended: datetime | None


class SearchRow(SearchBody):
    """A search and its trials by number."""

    at: datetime
    trials: list[SearchTrialRow]


@router.put("/searches", response_model=SearchRow, responses=responses(409, body=True))
def put_search(body: SearchBody, session: SessionDep, _: Service) -> Any:
    """Bind a run's search to its plan. The same plan again changes nothing; another is refused by 409: trials of two spaces are not one
    search. The platform's service alone."""
    try:
        row = searches.bind(session, body.run_key, body.model, body.plan.model_dump(mode="json"), datetime.now(UTC))
    except searches.Bound as error:
        remedy = "Start a new run, or give the spec back what it had."
        raise Refusal(409, f"plan: the run's search began with another plan ({error} differ). {remedy}") from None
    return _search(session, row)


@router.get("/searches", response_model=SearchRow, responses=responses(404))
def get_search(session: SessionDep, run_key: Annotated[AskedRunKey, Query()]) -> Any:
    """The search of a run, with all trials that have begun."""
    row = session.get(SearchPlan, run_key)
    if row is None:
        raise Refusal(404, f"There is no search of run {run_key!r}.")
    return _search(session, row)


@router.put("/searches/trials", response_model=SearchTrialRow, responses=responses(404, 409, body=True))
def put_trial(body: SearchTrialBody, session: SessionDep, _: Service) -> Any:
    """Keep that a trial begins, or how it ended. Of one that has ended the first word stays, and is the answer. 409 where the trial tries
    something else than before. The platform's service alone."""
    if body.state is SearchState.COMPLETE and body.value is None:
        raise Refusal(422, "value: a complete trial has one.")
    trial = Trial.from_json(body.model_dump(mode="json"))
    try:
        row = searches.keep(session, body.run_key, trial, datetime.now(UTC))
    except searches.Unknown:
        raise Refusal(404, f"There is no search of run {body.run_key!r}.") from None
    except searches.Bound as error:
        raise Refusal(409, f"{error}: began with others.") from None
    return SearchTrialRow.model_validate(row, strict=False)


def _search(session: SessionDep, row: SearchPlan) -> SearchRow:
    found = [SearchTrialRow.model_validate(trial, strict=False) for trial in searches.trials(session, row.run_key)]
    plan = SearchPlanBody.model_validate(row.plan, strict=False)
    return SearchRow(run_key=row.run_key, model=row.model, plan=plan, at=row.at, trials=found)
