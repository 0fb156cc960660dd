"""The headers by which a browser keeps an answer of ours from doing harm, on every answer, refusals included."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
"""Of an answer that is no page: opened as one it may do nothing."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
"""Of a page in Airflow's navigation: it runs its own scripts and talks to its own server; Airflow alone may put it into a frame."""
FRAMES_POLICY = f"{PAGE_POLICY}; frame-src 'self'"
"""Of a page that shows another of our own in a frame."""
SAME = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeaders:
    """ASGI middleware: what a route has not set itself is set as strictly as can be. ``X-Frame-Options`` says what the policy says."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", DATA_POLICY)
                framed = "frame-ancestors 'self'" in headers["Content-Security-Policy"]
                headers["X-Frame-Options"] = "SAMEORIGIN" if framed else "DENY"
                for name, value in SAME.items():
                    headers.setdefault(name, value)
                if not framed:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, sealed if scope["type"] == "http" else send)
