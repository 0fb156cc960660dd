"""Changes of what serves: written down with who and why, then carried out by the reconciler; a split is in force when this answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Query, status
from sqlalchemy import update
from sqlalchemy.orm import Session

from api_shared.auth import may_read, may_write
from api_shared.problems import Refusal, responses
from api_shared.teams import TheirOwn, of_their_teams
from include.errors import ComponentError, InputError
from include.pool.teams import Role
from include.reconcile.facts import ServingState, Wanted
from include.registry.mlflow import CHALLENGER, CHAMPION, PREVIOUS
from include.runtime.settings import Settings
from include.serving.kubernetes.gateway import gateway_of
from include.serving.revisions import Revisions
from lifecycle.api.live import TIMEOUT_S, registry
from lifecycle.api.serving import view
from lifecycle.api.serving.datamodels import (
    Accepted,
    ChangeBody,
    DeployBody,
    RepairBody,
    ScaleBody,
    ServingModel,
    ServingRevision,
    SplitBody,
    Why,
)
from lifecycle.api.serving.read import MODELS, RECONCILE, REVISIONS, InModel, InVersion, known_model, known_revision
from lifecycle.db import replicas, serving
from lifecycle.db.models import Desired

router = APIRouter(prefix="/v1", dependencies=[Depends(may_read), Depends(of_their_teams)])
Operator = Annotated[str, Depends(may_write)]
END_ITS_TRIAL = "End its trial first, on the model's page or by POST /lifecycle/v1/orders, or let it decide."
SPLIT_S = 5.0
"""Envoy runs a new split within this, or it is taken back."""
ACCEPTED = status.HTTP_202_ACCEPTED
CHANGES: Mapping[str, Any] = {"response_model": Accepted, "status_code": ACCEPTED, "responses": responses(404, 409, body=True)}


@router.post("/models/{model}/deploy", tags=[MODELS], **CHANGES)
def deploy(model: InModel, body: DeployBody, session: SessionDep, who: Operator) -> Any:
    """Deploy a registered version beside what serves, without a run of its lifecycle. It gets no traffic until it is given a share."""
    key = (model, body.version)
    row = session.get(Desired, key)
    if row is not None and row.wanted == Wanted.RUNNING:
        return _unchanged("deploy", key, body.why, who)
    if row is not None and row.wanted == Wanted.STOPPED:
        raise Refusal(409, f"Version {body.version} of {model} is deployed, and stopped by {row.who}: start it.")
    _registered(model, body.version)
    return _want(session, key, Wanted.RUNNING, "deploy", body.why, who)


@router.post("/models/{model}/revisions/{version}/start", tags=[REVISIONS], **CHANGES)
def start(model: InModel, version: InVersion, body: ChangeBody, session: SessionDep, who: Operator) -> Any:
    """Start a stopped revision again. 409 for one that waits for a GPU: it starts by itself."""
    row = known_revision(known_model(session, model), version)
    if row.state is ServingState.PREEMPTED and row.wanted is Wanted.RUNNING:
        how = "It starts by itself once the pool has room: stop what it may wait for, or raise its priority (serve.resources.priority)."
        raise Refusal(409, f"Version {version} of {model} waits for a GPU. {how}")
    if row.wanted is Wanted.RUNNING and row.state is not ServingState.ERROR:
        return _unchanged("start", (model, version), body.why, who)
    return _want(session, (model, version), Wanted.RUNNING, "start", body.why, who)


@router.post("/models/{model}/revisions/{version}/stop", tags=[REVISIONS], **CHANGES)
def stop(model: InModel, version: InVersion, body: ChangeBody, session: SessionDep, who: Operator) -> Any:
    """Stop a revision's server until it is started again; its GPU goes back to the pool. With traffic of its own and no other revision
    or fallback to stand in, its callers get 503."""
    known = known_model(session, model)
    row = known_revision(known, version)
    _not_on_trial(known, version, "stopped")
    _alone(model, version, "stop")
    if row.wanted is Wanted.STOPPED:
        return _unchanged("stop", (model, version), body.why, who)
    return _want(session, (model, version), Wanted.STOPPED, "stop", body.why, who)


@router.post("/models/{model}/revisions/{version}/restart", tags=[REVISIONS], **CHANGES)
def restart(model: InModel, version: InVersion, body: ChangeBody, session: SessionDep, who: Operator) -> Any:
    """End a revision's server and start it anew. 409 for one that is stopped."""
    row = known_revision(known_model(session, model), version)
    if row.wanted is Wanted.STOPPED:
        raise Refusal(409, f"Version {version} of {model} is stopped: start it.")
    _alone(model, version, "restart")
    return _want(session, (model, version), Wanted.RUNNING, "restart", body.why, who, again=True)


@router.delete("/models/{model}/revisions/{version}", tags=[REVISIONS], **CHANGES)
def delete(model: InModel, version: InVersion, session: SessionDep, who: Operator, why: Annotated[Why, Query()]) -> Any:
    """Take a revision away altogether; the version stays registered. 409 for a champion, for one with traffic, and for one on trial."""
    known = known_model(session, model)
    row = known_revision(known, version)
    if problem := view.aliases.of([model])[1]:
        raise Refusal(503, f"Whether version {version} of {model} is the champion can't be told now. {problem}")
    _may_go(known, row)
    return _want(session, (model, version), Wanted.ABSENT, "delete", why, who)


@router.put("/models/{model}/split", tags=[MODELS], response_model=Accepted, responses=responses(404, 409, body=True))
def split(model: InModel, body: SplitBody, session: SessionDep, who: Operator) -> Any:
    """Share the model's traffic among its revisions. It is in force when this answers. 409 while a version is on trial.

    The first version that gets all traffic of a model without a champion becomes its champion.
    """
    known = known_model(session, model)
    _splittable(known, body.weights)
    settings, weights = Settings.load(), {version: weight for version, weight in body.weights.items() if weight}
    gateway = gateway_of(settings, model)
    if unknown := sorted(weights.keys() - gateway.revisions(model).keys()):
        raise Refusal(422, f"weights: there is no revision {unknown[0]!r} of {model} at the gateway. Deploy it first.")
    away = bool(view.aliases.of([model])[1])
    promoted = None if away and not body.promote else _promoted(known, weights, body.promote)
    if weights == known.weights and known.mirror is None and promoted is None:
        return _unchanged("split", (model, None), body.why, who)
    before = {"weights": known.weights, "mirror": known.mirror}
    after = {"weights": weights, "mirror": None}
    row = serving.act(session, who, "promote" if promoted else "split", (model, promoted), body.why, before=before, after=after)
    gateway.set_split(model, weights, timeout_s=SPLIT_S)
    session.commit()  # before the answer: what is in force is kept
    if promoted is not None:
        _crown(model, promoted)
    return _accepted(row.entry, row.act, (model, promoted), body.why, who)


@router.post("/models/{model}/scale", tags=[MODELS], **CHANGES)
def scale(model: InModel, body: ScaleBody, session: SessionDep, who: Operator) -> Any:
    """Say how many servers the model shall have: each revision that is asked gets as many, within seconds, as far as there is room. 409
    beyond what its spec allows."""
    known = known_model(session, model)
    now, bounds = known.replicas, view.bounds_of(view.specs(time.monotonic()).get(model))
    if body.replicas == 0:
        raise Refusal(409, f"{model} can't be scaled to 0: stop its revisions, and start them again.")
    if not bounds.least <= body.replicas <= bounds.most:
        allowed = f"{bounds.least} to {bounds.most} servers" if bounds.most > bounds.least else f"{bounds.most} server"
        raise Refusal(409, f"{model} may have {allowed}, not {body.replicas}: its spec says so in serve.replicas.")
    backend = Revisions(Settings.load())
    if any(backend.multiplies(one) for one in backend.list(model)):
        raise Refusal(409, f"The number of {model}'s servers is the cluster's autoscaler's: set serve.replicas, and register a version.")
    if body.replicas == now.wanted:
        return _unchanged("scale", (model, None), body.why, who)
    change = {"before": now.wanted, "after": body.replicas}
    row = serving.act(session, who, "scale", (model, None), body.why.strip(), replicas=change)
    replicas.scale(session, model, body.replicas, who, body.why.strip(), datetime.now(UTC))
    session.commit()
    return _accepted(row.entry, "scale", (model, None), body.why, who)


@router.post("/reconcile", tags=[RECONCILE], **CHANGES)
def repair(body: RepairBody, session: SessionDep, who: Operator, own: TheirOwn) -> Any:
    """Let the reconciler try at once what it would try again later."""
    if body.model is not None:
        known_model(session, body.model)
    if not (own.everything if body.model is None else own.model(body.model, Role.OPERATOR)):
        raise Refusal(403, "Name a model of a team in which you are an operator.")
    query = update(Desired).values(tries=0, due_s=0.0)
    session.execute(query if body.model is None else query.where(Desired.model == body.model))
    row = serving.act(session, who, "repair", (body.model or "all", None), body.why)
    session.commit()
    return _accepted(row.entry, "repair", (body.model or "all", None), body.why, who)


def _want(session: Session, key: serving.Key, wanted: Wanted, act: str, why: str, who: str, *, again: bool = False) -> Accepted:
    """Write down what is wanted and the act, in one transaction."""
    row = serving.act(session, who, act, key, why.strip())
    serving.want(session, key, wanted, who, why.strip(), datetime.now(UTC), again=again)
    session.commit()  # before the answer: it will be done
    return _accepted(row.entry, act, key, why, who)


def _unchanged(act: str, key: tuple[str, int | None], why: str, who: str) -> Accepted:
    return _accepted(None, act, key, why, who)


def _accepted(entry: int | None, act: str, key: tuple[str, int | None], why: str, who: str) -> Accepted:
    return Accepted(entry=entry, model=key[0], version=key[1], act=act, why=why.strip(), who=who, at=datetime.now(UTC))


def _registered(model: str, version: int) -> None:
    try:
        registry(TIMEOUT_S).version(model, version)
    except ComponentError:
        raise
    except InputError:
        raise Refusal(404, f"{model} has no registered version {version}.") from None


def _promoted(model: ServingModel, weights: Mapping[str, int], wished: bool) -> int | None:
    """Return the version that becomes champion by this split: that which gets all, where it is wished or there is none yet."""
    if wished and len(weights) != 1:
        raise Refusal(422, "promote: only a version that gets all of the traffic becomes champion.")
    version = int(next(iter(weights))) if len(weights) == 1 else None
    if version is None or model.aliases.get(CHAMPION) == version or not (wished or CHAMPION not in model.aliases):
        return None
    _registered(model.model, version)  # 503 while MLflow is away, before anything is changed
    return version


def _crown(model: str, version: int) -> None:
    """The gateway first, then the aliases, as everywhere. Repeated, it does what is missing."""
    mlflow = registry(TIMEOUT_S)
    before = mlflow.aliases(model).get(CHAMPION)
    if before is not None and before != version:
        mlflow.set_alias(model, PREVIOUS, before)
    mlflow.set_alias(model, CHAMPION, version)


def _not_on_trial(model: ServingModel, version: int, what: str) -> None:
    on_trial = model.aliases.get(CHALLENGER)
    if on_trial == version or (on_trial is not None and model.weights.get(str(version))):
        raise Refusal(409, f"Version {version} of {model.model} is part of a trial and can't be {what}. {END_ITS_TRIAL}")


def _alone(model: str, version: int, what: str) -> None:
    """Refuse what would reach other revisions on the same server."""
    backend = Revisions(Settings.load())
    found = backend.find(model, str(version))
    others = [one for one in backend.list() if found and found.shared and one.shared == found.shared and one != found]
    if others:
        names = ", ".join(f"version {one.version} of {one.model}" for one in others)
        raise Refusal(409, f"Version {version} of {model} shares its server with {names}, and a {what} would reach all. Delete it instead.")


def _may_go(model: ServingModel, row: ServingRevision) -> None:
    name = f"Version {row.version} of {model.model}"
    if row.alias == "champion":
        retire = f"python -m include.release retire {model.model}"
        how = f"Take production to another version first (DAG {model.model}_rollback), or retire the model ({retire})."
        raise Refusal(409, f"{name} is the champion and can't be deleted. {how}")
    _not_on_trial(model, row.version, "deleted")
    if row.weight or row.mirrored:
        copies = " and copies of it" if row.mirrored else ""
        raise Refusal(409, f"{name} has {row.weight} % of the traffic{copies}: give it to another first.")


def _splittable(model: ServingModel, weights: Mapping[str, int]) -> None:
    if CHALLENGER in model.aliases:
        trial = f"Version {model.aliases[CHALLENGER]} of {model.model} is on trial, and the trial moves the traffic."
        raise Refusal(409, f"{trial} {END_ITS_TRIAL}")
    states = {str(row.version): row.state for row in model.revisions}
    running = ServingState.RUNNING
    down = [version for version, weight in weights.items() if weight and states.get(version, running) is not running]
    if down:
        said = ", ".join(f"version {version} is {states[version].value}" for version in down)
        raise Refusal(409, f"Only what runs can have traffic: {said}. Start it first.")
