"""Puts together what is known of models that serve: the plugin's tables, the gateway's split, the registry's aliases, the specs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.gateway.table import Table
from include.kinds.known import Specs
from include.reconcile.facts import ServingState, Step, Wanted
from include.reconcile.model_state import SEED, model_state
from include.registry.mlflow import CHALLENGER, CHAMPION, PREVIOUS
from include.replicas import schedule
from include.replicas.number import Bounds, number_for
from include.runtime.settings import Settings
from include.spec.schema import Spec
from lifecycle.api.live import Aliases
from lifecycle.api.serving.datamodels import PlanRow, Reconciler, ServingModel, ServingReplicas, ServingRevision, ServingServer
from lifecycle.db import replicas, serving
from lifecycle.db.models import Desired, Owner, Revision, Scale
from lifecycle.db.owner import NAME

USUAL_PRIORITY = 5
ALIVE_S = 20.0
"""A reconciler that has not moved its row for so long is told of as away."""
aliases = Aliases()
_specs: dict[str, Specs] = {}


def specs(now_s: float) -> Mapping[str, Spec]:
    """Return the models' specs, read again when their files change."""
    models = Settings.load().models
    return _specs.setdefault(str(models), Specs(models)).get(now_s)


def table() -> Table | None:
    """Return what the gateway's own files say; None where it has none that can be read."""
    try:
        return Gateway(Settings.load()).table()
    except (UpdraftError, OSError):
        return None


def reconciler(session: Session, now: datetime) -> Reconciler:
    """Return who reconciles, and whether it still does."""
    row = session.get(Owner, NAME)
    if row is None:
        return Reconciler(holder="", alive=False, at=None)
    return Reconciler(holder=row.holder.rpartition("/")[0], alive=(now - row.at).total_seconds() < ALIVE_S, at=row.at)


def models(session: Session, known: Mapping[str, Spec], only: str | None = None) -> tuple[list[ServingModel], str]:
    """Return every model with a spec or a revision (or the one), and a sentence about the registry when it does not answer."""
    found, wanted = serving.revisions(session, only), serving.wanted(session, only)
    mine: dict[str, list[tuple[int, Revision | None, Desired | None]]] = defaultdict(list)
    for key in sorted(found.keys() | wanted.keys(), key=lambda key: (key[0], -key[1])):
        row, wish = found.get(key), wanted.get(key)
        if wish is not None or (row is not None and SEED[row.state] is not ServingState.STOPPED):
            mine[key[0]].append((key[1], row, wish))
    names = sorted(({only} if only else set(known)) | mine.keys())
    called, problem = aliases.of(names)
    gateway = table()
    crews = _crews(session, only)
    scales = replicas.scales(session)
    return [
        _model(name, known.get(name), mine[name], called.get(name, {}), gateway, Several(scales.get(name), crews)) for name in names
    ], problem


def plan_row(key: tuple[str, int], row: Desired, seen: Revision | None) -> PlanRow:
    """Return one line of desired against actual."""
    return PlanRow(
        model=key[0],
        version=key[1],
        wanted=Wanted(row.wanted),
        state=SEED[seen.state] if seen else ServingState.STOPPED,
        step=Step(row.step or Step.NONE),
        reason=row.reason,
        tries=row.tries,
        due=_time(row.due_s),
        who=row.who,
        why=row.why,
    )


@dataclass(frozen=True)
class Several:
    """What is known of several servers: what was said of the model, and each server by revision."""

    said: Scale | None
    crews: Mapping[tuple[str, int], list[ServingServer]]


def bounds_of(spec: Spec | None) -> Bounds:
    """Return how many servers a model's spec allows."""
    return schedule.bounds_of(spec.serve.replicas, datetime.now(UTC)) if spec else Bounds()


def _crews(session: Session, only: str | None) -> dict[tuple[str, int], list[ServingServer]]:
    found: dict[tuple[str, int], list[ServingServer]] = defaultdict(list)
    for (model, version, number), row in replicas.replicas(session, only).items():
        state = ServingState[row.state] if row.state else ServingState.STARTING
        found[model, version].append(ServingServer(number=number, state=state, up=row.up, message=row.message, endpoint=row.endpoint))
    return found


def _replicas(spec: Spec | None, said: Scale | None) -> ServingReplicas:
    bounds = bounds_of(spec)
    wanted = number_for(bounds, said.replicas if said else None, asked=True)
    who, why, at = (said.who, said.why, said.at) if said else ("", "", None)
    return ServingReplicas(wanted=wanted, least=bounds.least, most=bounds.most, who=who, why=why, at=at)


def _model(name: str, spec: Spec | None, rows: Any, called: Mapping[str, int], gateway: Table | None, several: Several) -> ServingModel:
    split = gateway.splits.get(name) if gateway else None
    stands_in = gateway.stand_in(name) if gateway else None
    weights, mirror = (dict(split.weights), split.mirror) if split else ({}, None)
    resources = spec.serve.resources if spec else None
    priority = resources.priority if resources else USUAL_PRIORITY
    roles = {version: alias for alias, version in reversed(list(called.items())) if alias in (CHAMPION, CHALLENGER, PREVIOUS)}
    said = _replicas(spec, several.said)
    revisions = [_revision(name, version, row, wish, roles, weights, mirror, priority, said, several.crews) for version, row, wish in rows]
    states = {str(one.version): one.state for one in revisions}
    live = any(states.get(version) is ServingState.RUNNING for version, weight in weights.items() if weight)
    return ServingModel(
        model=name,
        state=model_state(states, weights),
        live=live or stands_in is not None,
        task=spec.task if spec else "",
        description=spec.description if spec else "",
        priority=priority,
        aliases=dict(called),
        weights=weights,
        mirror=mirror,
        fallback=spec.serve.fallback if spec else None,
        fallback_active=stands_in is not None,
        replicas=said,
        revisions=revisions,
    )


def _revision(
    name: str,
    version: int,
    row: Revision | None,
    wish: Desired | None,
    roles: Mapping[int, str],
    weights: Mapping[str, int],
    mirror: str | None,
    priority: int,
    said: ServingReplicas,
    crews: Mapping[tuple[str, int], list[ServingServer]],
) -> ServingRevision:
    seen = SEED[row.state] if row else ServingState.STARTING
    # A version that a run could not deploy is told of, and wanted by nobody.
    usual = Wanted.ABSENT if seen in (ServingState.STOPPED, ServingState.ERROR) else Wanted.RUNNING
    servers = crews.get((name, version), [])
    asked = bool(weights.get(str(version))) or mirror == str(version)
    return ServingRevision(
        model=name,
        version=version,
        state=seen,
        wanted=Wanted(wish.wanted) if wish else usual,
        message=(row.message if row else "") or (wish.reason if wish else ""),
        step=Step(wish.step or Step.NONE) if wish else Step.NONE,
        standby=bool(row and row.state == "STANDBY"),
        alias=roles.get(version),  # type: ignore[arg-type]
        weight=weights.get(str(version), 0),
        mirrored=mirror == str(version),
        priority=priority,
        target=row.target if row else "",
        backend=row.backend if row else "",
        endpoint=row.endpoint if row else "",
        ready=sum(one.up for one in servers) if servers else int(seen is ServingState.RUNNING),
        replicas=said.wanted if asked else 1,
        servers=servers,
        tries=wish.tries if wish else 0,
        due=_time(wish.due_s) if wish else None,
        updated_at=row.updated_at if row else wish.at if wish else datetime.now(UTC),
    )


def _time(at_s: float) -> datetime | None:
    return datetime.fromtimestamp(at_s, UTC) if at_s else None
