"""The door as a server: it looks at each request's token, lets through what the rules allow, and asks MLflow in the platform's name."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from include.door.facts import MlflowFacts
from include.door.rules import ARTIFACTS, OPEN, Asked, Forbidden, Sent, decide
from include.door.token import Grant, NotGranted, verify
from include.errors import ComponentError
from include.registry.mlflow import Mlflow

BODY_BYTES = 16 * 1024 * 1024
"""Of a JSON body; MLflow's own limit for a batch is 1 MB."""
DEPTH_ERRORS = (ValueError, RecursionError)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
KEPT_HEADERS = ("content-type", "content-length", "content-disposition", "content-encoding", "etag", "last-modified")
TIMEOUT = httpx.Timeout(600.0, connect=10.0)
"""An answer may wait for a large artifact to be stored."""


class TooLarge(Exception):
    """A JSON body beyond BODY_BYTES."""


class Door:
    """Before one MLflow, whose login only the door has."""

    def __init__(self, mlflow: Mlflow, secret: str) -> None:
        self._mlflow, self._secret, self._facts = mlflow, secret, MlflowFacts(mlflow)
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """While the server runs."""
        login = httpx.BasicAuth(self._mlflow.username, self._mlflow.password)
        async with httpx.AsyncClient(base_url=self._mlflow.url, auth=login, timeout=TIMEOUT, trust_env=False) as client:
            self._client = client
            yield

    async def answer(self, request: Request) -> Response:
        """The answer to one request: MLflow's own, or a refusal in MLflow's words (``error_code``, ``message``)."""
        path = request.scope["path"]
        if request.method == "GET" and path in OPEN:
            return await self._pass_on(request, Sent("GET", path))
        grant = None
        try:
            grant = self._grant(request)
            asked = Asked(request.method, path, request.query_params.multi_items(), await _body(request))
            return await self._pass_on(request, await run_in_threadpool(decide, asked, grant, self._facts))
        except NotGranted as error:
            return _refused(401, "UNAUTHENTICATED", str(error))
        except (Forbidden, LookupError) as error:
            what = str(error) if isinstance(error, Forbidden) else "there is no such run or model for this token."
            print(f"Refused {grant.step if grant else '?'} (run {grant.run if grant else ''}): {request.method} {path[:200]!r}", flush=True)
            return _refused(403, "PERMISSION_DENIED", what)
        except TooLarge:
            return _refused(413, "INVALID_PARAMETER_VALUE", f"the body is larger than {BODY_BYTES} bytes.")
        except DEPTH_ERRORS:
            return _refused(400, "BAD_REQUEST", "the body is no JSON.")
        except (ComponentError, httpx.TransportError) as error:
            return _refused(503, "TEMPORARILY_UNAVAILABLE", f"MLflow does not answer ({type(error).__name__}).")
        except ClientDisconnect:
            return Response(status_code=499)

    def _grant(self, request: Request) -> Grant:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotGranted("no token.", where="Authorization", remedy="A step has one in MLFLOW_TRACKING_TOKEN.")
        return verify(token.strip(), self._secret, time.time())

    async def _pass_on(self, request: Request, sent: Sent) -> Response:
        assert self._client is not None
        headers: dict[str, str] = {}
        content: AsyncIterator[bytes] | bytes | None = None
        if sent.streamed:
            headers = {name: request.headers[name] for name in ("content-type", "content-length") if name in request.headers}
            content = request.stream()
        elif sent.body is not None:
            headers, content = {"content-type": "application/json"}, json.dumps(sent.body).encode()
        asked = self._client.build_request(sent.method, sent.path, params=sent.query or None, headers=headers, content=content)
        found = await self._client.send(asked, stream=True)
        kept = {name: found.headers[name] for name in KEPT_HEADERS if name in found.headers}
        return StreamingResponse(_bytes(found), found.status_code, kept)


async def _bytes(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


async def _body(request: Request) -> Any:
    """The JSON of a request that has any; None for an artifact's bytes, which are not read here."""
    if request.method == "GET" or request.scope["path"].startswith(ARTIFACTS):
        return None
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ValueError
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > BODY_BYTES:
            raise TooLarge
    return json.loads(read) if read else None


def _refused(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error_code": code, "message": message}, status)


def app(mlflow: Mlflow, secret: str) -> ASGIApp:
    """The door of one MLflow; ``secret`` is what tokens are signed with."""
    door = Door(mlflow, secret)
    return Starlette(routes=[Route("/{path:path}", door.answer, methods=METHODS)], lifespan=door.lifespan)
