"""Every error of the plugins' APIs: one body, a sentence for a person, and the statuses that a route may answer with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from include.errors import ComponentError, InputError, UpdraftError

Statuses = tuple[tuple[type[Exception], int], ...]
STATUSES: Statuses = (
    (InputError, status.HTTP_422_UNPROCESSABLE_CONTENT),
    (ComponentError, status.HTTP_503_SERVICE_UNAVAILABLE),
)
MEANINGS = {
    400: "The body is no JSON.",
    401: "No valid token.",
    403: "The caller may not.",
    404: "There is none.",
    409: "Something else is there by now.",
    410: "It has ended.",
    413: "The body is too large.",
    422: "The request is wrong.",
    429: "Too many; ask again later.",
    503: "A server behind this one does not answer; ask again.",
}
PROMETHEUS: dict[str, Any] = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
ANYWHERE = (401, 403, 422, 503)
"""What any route may answer: the caller, the query and the database are looked at everywhere."""
MAX_DETAIL = 1000


class Problem(BaseModel):
    """What went wrong, as a sentence for a person."""

    detail: str


class Refusal(Exception):
    """A request that is refused with this status and sentence."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def responses(*codes: int, problem: type[BaseModel] = Problem, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these statuses and those of :data:`ANYWHERE`; with ``body``, what a body can be refused for as well."""
    found = sorted({*codes, *ANYWHERE, *((400, 413) if body else ())})
    return {code: {"model": problem, "description": MEANINGS[code]} for code in found}


def install(app: FastAPI, statuses: Statuses = (), more: Callable[[UpdraftError], Mapping[str, Any]] = lambda error: {}) -> None:
    """Make every error of ``app`` a sentence. What was sent is not sent back: it may be huge, or no text at all.

    ``statuses`` are an application's own, looked at before :data:`STATUSES`; ``more`` is what an error's answer holds beside its sentence.
    """
    known = (*statuses, *STATUSES)

    @app.exception_handler(UpdraftError)
    async def refused(_: Request, error: UpdraftError) -> JSONResponse:
        code = next((code for kind, code in known if isinstance(error, kind)), status.HTTP_500_INTERNAL_SERVER_ERROR)
        return JSONResponse({"detail": text(str(error)), **more(error)}, code)

    @app.exception_handler(Refusal)
    async def refusal(_: Request, error: Refusal) -> JSONResponse:
        return JSONResponse({"detail": text(error.detail)}, error.code)

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
        others = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
        detail = f"{where or 'body'}: {first['msg']}{others}"
        return JSONResponse({"detail": text(detail)}, status.HTTP_422_UNPROCESSABLE_CONTENT)

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": text(str(error.detail))}, error.status_code, headers=error.headers)

    @app.exception_handler(DBAPIError)
    async def away(_: Request, error: DBAPIError) -> JSONResponse:
        detail = f"The database does not answer ({type(error).__name__}). Ask again."
        return JSONResponse({"detail": detail}, status.HTTP_503_SERVICE_UNAVAILABLE)


def text(sentence: str) -> str:
    """What can be sent: a lone half of a surrogate pair becomes a question mark, and nothing is longer than a screen."""
    return sentence.encode("utf-8", "replace").decode()[:MAX_DETAIL]
