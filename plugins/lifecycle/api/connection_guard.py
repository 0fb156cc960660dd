"""Keeps the platform's own connections its admins' to change.

Whoever re-points ``updraft_mlflow`` is sent MLflow's password at the next report that anybody opens; Airflow lets every operator edit every
connection.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api_shared.auth import rules
from api_shared.front import again, caller_of, path_of, read, unknown, walk

PREFIX = "updraft_"
"""Begins the names of the platform's own connections."""
ROUTE = re.compile(r"^/api/v2/connections(?:/(?P<rest>.*))?$", re.DOTALL)
SAFE = ("GET", "HEAD", "OPTIONS")
MAX_BODY_BYTES = 1024 * 1024
REFUSED = f"Connections whose names begin with {PREFIX} are the platform's own: this needs an admin's rights."


class ConnectionGuard:
    """ASGI middleware around Airflow's API; every other request passes untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = ROUTE.match(path_of(scope)) if scope["type"] == "http" and scope["method"] not in SAFE else None
        if match is None:
            await self._app(scope, receive, send)
            return
        user = await caller_of(scope)
        if user is None:
            await unknown()(scope, receive, send)
            return
        if await rules(user):
            await self._app(scope, receive, send)
            return
        body = await read(receive, MAX_BODY_BYTES)
        if body is None:
            detail = f"The body is over {MAX_BODY_BYTES // 1024} KiB."
            await JSONResponse({"detail": detail}, status_code=413)(scope, receive, send)
        elif names_ours(match["rest"] or "", body):
            await JSONResponse({"detail": REFUSED}, status_code=403)(scope, receive, send)
        else:
            await self._app(scope, again(body, receive), send)


def names_ours(rest: str, body: bytes) -> bool:
    """Whether the path or anything in the body names one of the platform's connections, as a name or as a part of a longer request."""
    if any(_ours(part) for part in unquote(rest).split("/")):
        return True
    try:
        request: Any = json.loads(body)
    except RecursionError:
        return True
    except ValueError:
        return False  # Airflow reads no name in it either
    return any(isinstance(part, str) and _ours(part) for part, _ in walk(request))


def _ours(name: str) -> bool:
    return name.strip().lower().startswith(PREFIX)
