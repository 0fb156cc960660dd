"""From the broker's future to an HTTP answer, and from the pool's errors to statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gpu_pool.api.auth import Forbidden
from gpu_pool.api.datamodels import Problem
from gpu_pool.broker import Act, Broken, Broker, Show
from gpu_pool.db.past import Past
from gpu_pool.db.store import Store
from gpu_pool.view import View
from include.errors import ComponentError, InputError, UpdraftError
from include.pool.errors import Conflict, Gone, Impossible, Missing

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Missing, status.HTTP_404_NOT_FOUND),
    (Conflict, status.HTTP_409_CONFLICT),
    (Gone, status.HTTP_410_GONE),
    (Forbidden, status.HTTP_403_FORBIDDEN),
    (InputError, status.HTTP_422_UNPROCESSABLE_CONTENT),
    (ComponentError, status.HTTP_503_SERVICE_UNAVAILABLE),
)
SAID = {
    400: "The body is no JSON.",
    401: "No valid token.",
    403: "The caller may not.",
    404: "There is none.",
    409: "Somebody else has it by now.",
    410: "It has ended.",
    413: "The body is too large.",
    422: "The request is wrong.",
    503: "The database does not answer; ask again.",
}


class Ended(Gone):
    """``lease``: what has ended, as it was in the end."""

    def __init__(self, gone: Gone, lease: dict[str, Any] | None) -> None:
        super().__init__(gone.what, where=gone.where, remedy=gone.remedy)
        self.lease = lease


def responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these, and what may come from anywhere."""
    return {code: {"model": Problem, "description": SAID[code]} for code in sorted({*codes, 400, 401, 403, 422, 503})}


class Desk:
    """What routes ask the broker through: answers are ready JSON, nothing is validated twice."""

    def __init__(self, broker: Broker, store: Store, ttl_s: float) -> None:
        self.broker, self.store, self.past, self.ttl_s = broker, store, Past(store), ttl_s

    async def change(self, act: Act, show: Show) -> JSONResponse:
        return JSONResponse(await asyncio.wrap_future(self.broker.change(act, show)))

    async def look(self, show: Callable[[View], Any]) -> JSONResponse:
        return JSONResponse(await self.ask(show))

    async def ask(self, show: Callable[[View], Any]) -> Any:
        return await asyncio.wrap_future(self.broker.look(show))


async def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(desk_of)]


def install(app: FastAPI) -> None:
    """Every error as a sentence. What was sent is not sent back: it may be huge, or no text at all."""

    @app.exception_handler(UpdraftError)
    async def refused(_: Request, error: UpdraftError) -> JSONResponse:
        code = next((code for kind, code in STATUS if isinstance(error, kind)), status.HTTP_500_INTERNAL_SERVER_ERROR)
        body: dict[str, Any] = {"detail": str(error)}
        if isinstance(error, Impossible) and error.nearest is not None:
            body["nearest"] = error.nearest.to_json()
        if isinstance(error, Ended):
            body["lease"] = error.lease
        return JSONResponse(body, code)

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
        more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
        detail = f"{where or 'body'}: {first['msg']}{more}"
        return JSONResponse({"detail": _clean(detail)}, status.HTTP_422_UNPROCESSABLE_CONTENT)

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": _clean(str(error.detail))}, error.status_code, headers=error.headers)

    @app.exception_handler(Broken)
    async def broken(_: Request, error: Broken) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status.HTTP_500_INTERNAL_SERVER_ERROR)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:1000]
