"""Refuses a run whose params are wrong at the trigger, by form or by REST, before anything has started.

Airflow validates the params that a DAG declares and lets unknown ones pass; here a misspelt param is an error that names it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api_shared.front import again, caller_of, oddity, path_of, read, unknown
from api_shared.problems import text
from api_shared.teams import mine
from include.data import roots
from include.errors import InputError
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.kinds.run_params import check_conf
from include.pool.teams import Role
from include.runtime.settings import Settings
from include.spec.names import DAGS, DATA_SOURCE
from include.spec.params import LABELLING_PARAMS, ROLLBACK_PARAMS, check_against
from include.spec.problem import SpecError

OWN: dict[str, Mapping[str, Any]] = {"rollback": ROLLBACK_PARAMS, "monitoring": {}, "labelling": LABELLING_PARAMS, "labels": {}}
"""DAGs whose params are the same for every model."""
ROUTE = re.compile(rf"^/(?:api/v2|ui)/dags/(?P<model>[a-z][a-z0-9_]{{0,47}})_(?P<kind>{'|'.join(DAGS)})/dagRuns/?$")
OF_ALL = re.compile(r"^/(?:api/v2|ui)/dags/(?:serving_reconcile|updraft_backup)/dagRuns/?$")
"""Of the platform's own DAGs, which see and touch every team's models."""
MAX_BODY_BYTES = 128 * 1024
MAX_RUN_ID = 200
"""Characters. Airflow's column holds 250, and folders and MLflow's runs are named after it."""


class TriggerCheck:
    """ASGI middleware around Airflow's API; every other request passes untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope) if scope["type"] == "http" and scope["method"] == "POST" else ""
        match, of_all = ROUTE.match(path), OF_ALL.match(path)
        if match is None and of_all is None:
            await self._app(scope, receive, send)
            return
        user = await caller_of(scope)
        if user is None:
            await unknown()(scope, receive, send)
            return
        own = await mine(user, str(user.get_name()))
        if match is None:
            sentence = "This DAG works on the models of all teams: an administrator runs it."
            answer: ASGIApp = self._app if own.everything else JSONResponse({"detail": sentence}, status_code=403)
            await answer(scope, receive, send)
            return
        if not await run_in_threadpool(own.model, match["model"], Role.OPERATOR):  # specs may be read
            sentence = f"{match['model']} is another team's model, or your team has you as a viewer: you may not run it."
            await JSONResponse({"detail": sentence}, status_code=403)(scope, receive, send)
            return
        body = await read(receive, MAX_BODY_BYTES)
        problem = (
            f"the request's body is over {MAX_BODY_BYTES // 1024} KiB" if body is None else _problem(match["model"], match["kind"], body)
        )
        if problem:
            await JSONResponse({"detail": text(problem)}, status_code=413 if body is None else 422)(scope, receive, send)
            return
        await self._app(scope, again(body or b"", receive), send)


def _problem(model: str, kind: str, body: bytes) -> str | None:
    """What is wrong with the run that is asked for, or None. What is wrong with anything else, Airflow says itself."""
    try:
        request: Any = json.loads(body)
    except RecursionError:
        return "the request's body is nested too deeply"
    except ValueError:
        return None
    if odd := oddity(request):
        return odd
    run_id, conf = (request.get(name) for name in ("dag_run_id", "conf")) if isinstance(request, dict) else (None, None)
    if isinstance(run_id, str) and len(run_id) > MAX_RUN_ID:
        return f"dag_run_id: has {len(run_id)} characters, {MAX_RUN_ID} are the most. Leave it out, and Airflow gives the run a name."
    return _wrong_params(model, kind, conf)


def _wrong_params(model: str, kind: str, conf: Any) -> str | None:
    settings = Settings.load()
    path = settings.models / model / "model.yaml"
    if not conf or not path.exists():
        return None
    if kind in OWN:
        return "; ".join(check_against(OWN[kind], conf)) or None
    try:
        spec = load(path)
        if kind == "batch":
            return "; ".join(check_against(kind_of(spec).batch(spec).params, conf)) or None
        problems = check_conf(spec, conf)
        if not problems and (source := conf.get(DATA_SOURCE)):
            roots.locate(source, path.parent, settings.data_roots)
    except SpecError as error:
        return f"the spec of {model} is broken: {error}"
    except InputError as error:
        return str(error)
    return "; ".join(problems) or None
