"""Keeps what the lifecycle's tasks tell one another theirs to write.

Tasks say by XComs where files lie and what was found; Airflow lets every operator edit every XCom, and so forge a verdict's evidence.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api_shared.auth import rules
from api_shared.front import caller_of, path_of, unknown
from include.spec.names import DAGS
from lifecycle.api.connection_guard import SAFE

ROUTE = re.compile(r"^/(?:api/v2|ui)/dags/(?P<dag>[^/]+)/.*(?:xcomEntries|state-store)(?:/.*)?$", re.DOTALL)
OWN = re.compile(rf"~|.*_({'|'.join(DAGS)})", re.DOTALL)
"""DAGs whose results are evidence; ``~`` stands for all of them."""
REFUSED = "What the tasks of a lifecycle have found is theirs to write: this needs an admin's rights."


class ResultGuard:
    """ASGI middleware around Airflow's API; every other request passes untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = ROUTE.match(path_of(scope)) if scope["type"] == "http" and scope["method"] not in SAFE else None
        if match is None or not OWN.fullmatch(unquote(match["dag"])):
            await self._app(scope, receive, send)
            return
        user = await caller_of(scope)
        if user is None:
            await unknown()(scope, receive, send)
        elif await rules(user):
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"detail": REFUSED}, status_code=403)(scope, receive, send)
