"""What serves: models, revisions, health, logs, history, and desired against actual."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Path, Query

from api_shared.auth import may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import TheirOwn, of_their_teams
from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.reconcile.facts import ServingState, Step
from include.reconcile.model_state import SEED
from include.runtime.settings import Settings
from include.serving import log_end
from include.serving.revision import Revision
from include.serving.revisions import Revisions
from lifecycle.api.datamodels import ActAbout
from lifecycle.api.fields import MOST_VERSION, Model
from lifecycle.api.serving import view
from lifecycle.api.serving.datamodels import (
    ActBody,
    Health,
    Logs,
    PlanRows,
    RevisionHealth,
    ServingModel,
    ServingModels,
    ServingRevision,
)
from lifecycle.db import serving

router = APIRouter(prefix="/v1", dependencies=[Depends(may_read), Depends(of_their_teams)])
InModel = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,47}$", examples=["digits"])]
InVersion = Annotated[int, Path(ge=1, le=MOST_VERSION, examples=[3])]
ASKED_AT_ONCE = 16
MODELS, REVISIONS, HISTORY, RECONCILE = "models", "revisions", "history", "reconcile"


@router.get("/models", tags=[MODELS], response_model=ServingModels, responses=responses())
def list_models(session: SessionDep, own: TheirOwn) -> Any:
    """Every model with its revisions, as they were seen last (within seconds, while the reconciler is alive)."""
    found, problem = view.models(session, view.specs(time.monotonic()))
    found = [model for model in found if own.model(model.model)]
    return ServingModels(models=found, reconciler=view.reconciler(session, datetime.now(UTC)), registry_problem=problem)


@router.get("/models/{model}", tags=[MODELS], response_model=ServingModel, responses=responses(404))
def read_model(model: InModel, session: SessionDep) -> Any:
    """One model with its revisions."""
    return known_model(session, model)


@router.get("/models/{model}/health", tags=[MODELS], response_model=Health, responses=responses(404))
def read_health(model: InModel, session: SessionDep) -> Any:
    """Ask the model's servers now whether they are ready; each has a few seconds."""
    known = known_model(session, model)
    backend = Revisions(Settings.load())
    there = {revision.version: revision for revision in backend.list(model)}
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = list(pool.map(lambda row: _health(backend, there.get(str(row.version)), row), known.revisions))
    ready = any(one.ready for one in found if known.weights.get(str(one.version)))
    return Health(model=model, ok=ready or known.fallback_active, fallback_active=known.fallback_active, revisions=found)


@router.get("/models/{model}/history", tags=[HISTORY], response_model=list[ActBody], responses=responses(404))
def read_history(model: InModel, session: SessionDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Any:
    """Who changed what of the model's serving, and why, the newest first."""
    known_model(session, model)
    return [act_row(row) for row in serving.acts(session, model, limit)]


@router.get("/history", tags=[HISTORY], response_model=list[ActBody], responses=responses())
def read_all_history(session: SessionDep, own: TheirOwn, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Any:
    """The same, of all models."""
    return [act_row(row) for row in serving.acts(session, None, limit) if own.model(row.model)]


@router.get("/models/{model}/revisions/{version}", tags=[REVISIONS], response_model=ServingRevision, responses=responses(404))
def read_revision(model: InModel, version: InVersion, session: SessionDep) -> Any:
    """One revision."""
    return known_revision(known_model(session, model), version)


@router.get("/models/{model}/revisions/{version}/logs", tags=[REVISIONS], response_model=Logs, responses=responses(404))
def read_logs(
    model: InModel,
    version: InVersion,
    lines: Annotated[int, Query(ge=1, le=5000, description="The last so many lines.")] = 200,
    server: Annotated[int, Query(ge=1, le=65, description="Which of several servers.")] = 1,
    after: Annotated[str, Query(max_length=64, pattern=r"^(\d+:\d+)?$", description="What came after this cursor instead.")] = "",
) -> Any:
    """The end of its server's log; asked again with ``after``, what has come since."""
    backend = Revisions(Settings.load())
    revision = backend.find(model, str(version))
    if revision is None:
        raise Refusal(404, f"Version {version} of {model} has no revision here.")
    if server > 1:
        revision = next((one for one in backend.replicas(revision) if one.number == server), None)
    if revision is None:
        raise Refusal(404, f"Version {version} of {model} has no server {server}.")
    path = Settings.load().logs / f"{revision.program}.log"
    if not path.exists():
        return Logs(lines=[], cursor="", where=f"Its server runs on target {revision.target}, and its log is kept there.")
    found = log_end.after(path, after) if after else log_end.last(path, lines)
    return Logs(lines=found.lines, cursor=found.cursor, where="")


@router.get("/reconcile", tags=[RECONCILE], response_model=PlanRows, responses=responses())
def read_plan(session: SessionDep, own: TheirOwn, model: Annotated[Model | None, Query()] = None) -> Any:
    """Desired against actual of every revision, with the step between them and why."""
    seen = serving.revisions(session, model)
    rows = [view.plan_row(key, row, seen.get(key)) for key, row in sorted(serving.wanted(session, model).items()) if own.model(key[0])]
    settled = all(row.step is Step.NONE and row.state.value == row.wanted.value for row in rows)
    return PlanRows(reconciler=view.reconciler(session, datetime.now(UTC)), settled=settled, rows=rows)


def known_model(session: SessionDep, model: str) -> ServingModel:
    """Return a model that has a spec or a revision; 404 for any other."""
    known = view.specs(time.monotonic())
    found, _ = view.models(session, known, model)
    if model not in known and not found[0].revisions:
        raise Refusal(404, f"There is no model {model!r}.")
    return found[0]


def known_revision(model: ServingModel, version: int) -> ServingRevision:
    """Return a revision of the model; 404 for a version that has none."""
    row = next((row for row in model.revisions if row.version == version), None)
    if row is None:
        deployed = ", ".join(str(row.version) for row in model.revisions) or "none"
        raise Refusal(404, f"Version {version} of {model.model} is not deployed. Deployed: {deployed}.")
    return row


def act_row(row: Any) -> ActBody:
    """Return an act as callers get it."""
    return ActBody(
        entry=row.entry,
        model=row.model,
        version=row.version,
        act=row.act,
        why=row.why,
        who=row.author,
        at=row.at,
        body=ActAbout.model_validate(row.body),
        hash=row.hash,
    )


def _health(backend: Revisions, there: Revision | None, row: ServingRevision) -> RevisionHealth:
    begun = time.perf_counter()
    try:
        ready = there is not None and backend.ready(there)
        state = backend.state(there) if there is not None else None
        cause = "" if ready or there is None else backend.cause(there)
    except (UpdraftError, OSError) as error:
        ready, state, cause = False, None, str(error)
    ms = (time.perf_counter() - begun) * 1000
    return RevisionHealth(
        version=row.version,
        ready=ready,
        ms=round(ms, 1),
        state=SEED[state.value] if state else ServingState.STOPPED if there is None else row.state,
        at_gateway=_at_gateway(row),
        cause=cause,
    )


def _at_gateway(row: ServingRevision) -> bool | None:
    gateway = Gateway(Settings.load())
    try:
        known = gateway.revisions(row.model).get(str(row.version))
        return known is not None and gateway.admin.healthy(known.cluster)
    except (UpdraftError, OSError):
        return None
