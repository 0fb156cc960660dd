"""No body is read beyond what a request of its kind can need."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 128 * 1024
"""Enough for whatever a person sends."""

BodyLimits = Callable[[str], int]
"""From a request's path to the most bytes of its body."""


def everywhere(_path: str) -> int:
    return MOST_BYTES


class BodyLimit:
    """ASGI middleware: 413 as soon as a body is known to be too large, by its announced length or by what has come."""

    def __init__(self, app: ASGIApp, limits: BodyLimits = everywhere) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits(scope.get("path", ""))
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
