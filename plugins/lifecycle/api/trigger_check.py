"""Refuses a run whose params are wrong at the trigger, by form or by REST, before anything has started.

Airflow validates the params that a DAG declares and lets unknown ones pass; here a misspelt param is an error that names it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.core_api.security import resolve_user_from_token
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.kinds.load import load
from include.kinds.run_params import check_conf
from include.runtime.settings import Settings
from include.spec.params import BATCH_PARAMS, ROLLBACK_PARAMS, check_against
from include.spec.problem import SpecError

OWN = {"rollback": ROLLBACK_PARAMS, "batch": BATCH_PARAMS}
"""DAGs whose params are the same for every model."""
ROUTE = re.compile(r"^/(?:api/v2|ui)/dags/(?P<model>[a-z][a-z0-9_]{0,47})_(?P<kind>lifecycle|rollback|batch)/dagRuns/?$")
MAX_BODY_BYTES = 128 * 1024


class TriggerCheck:
    """ASGI middleware around Airflow's API; every other request passes untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = ROUTE.match(scope.get("path", "")) if scope["type"] == "http" and scope["method"] == "POST" else None
        if match is None or not await _logged_in(Request(scope)):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        problem = (
            f"the request's body is over {MAX_BODY_BYTES // 1024} KiB" if body is None else _problem(match["model"], match["kind"], body)
        )
        if problem:
            await JSONResponse({"detail": problem}, status_code=413 if body is None else 422)(scope, receive, send)
            return
        await self._app(scope, _replay(body or b"", receive), send)


async def _logged_in(request: Request) -> bool:
    """Whether Airflow would know the caller; one that it does not is left to Airflow's own 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        await resolve_user_from_token(token if scheme.lower() == "bearer" else request.cookies.get(COOKIE_NAME_JWT_TOKEN))
    except HTTPException:
        return False
    return True


async def _read(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _problem(model: str, kind: str, body: bytes) -> str | None:
    """What is wrong with the conf, or None. What is wrong with anything else, Airflow says itself."""
    try:
        request: Any = json.loads(body)
    except ValueError:
        return None
    conf = request.get("conf") if isinstance(request, dict) else None
    path = Settings.load().models / model / "model.yaml"
    if not conf or not path.exists():
        return None
    if kind in OWN:
        return "; ".join(check_against(OWN[kind], conf)) or None
    try:
        problems = check_conf(load(path), conf)
    except SpecError as error:
        return f"the spec of {model} is broken: {error}"
    return "; ".join(problems) or None
