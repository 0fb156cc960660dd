"""What the middlewares before Airflow's own API have in common: the path within Airflow, the caller, the body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import resolve_user_from_token
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope

MOST_LEVELS = 32
"""Nesting of a body: nothing that is meant needs more."""


def path_of(scope: Scope) -> str:
    """The request's path as Airflow's routes know it, wherever Airflow is mounted."""
    path, root = str(scope.get("path", "")), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


async def caller_of(scope: Scope) -> BaseUser | None:
    """Who calls, as Airflow would find out; None for a caller that it does not know, or would know otherwise: whoever guards a route
    refuses that one (:func:`unknown`), because Airflow may be less strict."""
    request = Request(scope)
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    try:
        return await resolve_user_from_token(token or request.cookies.get(COOKIE_NAME_JWT_TOKEN))
    except HTTPException:
        return None


def unknown() -> JSONResponse:
    """The answer to a caller that nobody knows."""
    return JSONResponse({"detail": "Not authenticated"}, status_code=401, headers={"WWW-Authenticate": "Bearer"})


async def read(receive: Receive, most_bytes: int) -> bytes | None:
    """The whole body, None for one that is longer."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > most_bytes:
            return None
        if not message.get("more_body"):
            return body


def again(body: bytes, receive: Receive) -> Receive:
    """The body once more, for whoever comes next."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def oddity(value: Any) -> str:
    """Why no honest caller sends this JSON value: nesting without end, text that is none. Empty when there is nothing odd."""
    for part, level in walk(value):
        if level > MOST_LEVELS:
            return f"the request's body is nested more than {MOST_LEVELS} levels deep"
        if isinstance(part, str) and not part.isascii() and any("\ud800" <= character <= "\udfff" for character in part):
            return "the request's body holds half of a character (a lone surrogate), which is no text"
    return ""


def walk(value: Any) -> Iterator[tuple[Any, int]]:
    """Every value within a JSON value, keys included, with its level; without recursion, however deep it is."""
    pending = [(value, 0)]
    while pending:
        part, level = pending.pop()
        yield part, level
        if isinstance(part, dict):
            pending += [(inner, level + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            pending += [(inner, level + 1) for inner in part]
