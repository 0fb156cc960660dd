"""No body is read beyond what a request of its kind can need."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 128 * 1024
MOST_REPORT_BYTES = 1024 * 1024


class BodyLimit:
    """ASGI middleware: 413 as soon as a body is known to be too large, by its announced length or by what has come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MOST_REPORT_BYTES if "/v1/reports/" in scope.get("path", "") else MOST_BYTES
        detail = f"The body is over {limit // 1024} KiB."
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not announced.isdigit() or len(announced) > 12 or int(announced) > limit:
            await JSONResponse({"detail": detail}, 413, headers={"Connection": "close"})(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > limit:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, counted, send)
