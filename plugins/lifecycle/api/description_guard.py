"""Keeps the descriptions of Airflow's APIs from strangers: each is made anew for whoever asks, which stops the whole server for seconds.

Airflow and its providers' plugins hand them out without a login; eight requests for a version of the execution API's held up every other
for 19 s.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from api_shared.front import caller_of, path_of, unknown

ROUTE = re.compile(r"^(?:/[^/]+)?/(?:docs(?:/oauth2-redirect)?|redoc|openapi\.json|changelog)/?$")
"""Of Airflow's own API and of whatever is mounted beside it."""


class DescriptionGuard:
    """ASGI middleware around Airflow's API; every other request passes untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        described = scope["type"] == "http" and ROUTE.match(path_of(scope))
        if described and await caller_of(scope) is None:
            await unknown()(scope, receive, send)
        else:
            await self._app(scope, receive, send)
