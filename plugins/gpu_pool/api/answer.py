"""From the broker's future to an HTTP answer, and from the pool's errors to statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, status
from fastapi.responses import JSONResponse

from api_shared import problems
from api_shared.problems import Statuses
from gpu_pool.api.auth import Forbidden
from gpu_pool.api.datamodels import PoolProblem
from gpu_pool.broker import Act, Broken, Broker, Show
from gpu_pool.db.past import Past
from gpu_pool.db.store import Store
from gpu_pool.view import View
from include.errors import UpdraftError
from include.pool.ask import Ask, AskForm
from include.pool.errors import Conflict, Gone, Impossible, Missing
from include.pool.teams import Teams, WrongTeam

STATUSES: Statuses = (
    (Missing, status.HTTP_404_NOT_FOUND),
    (Conflict, status.HTTP_409_CONFLICT),
    (Gone, status.HTTP_410_GONE),
    (Forbidden, status.HTTP_403_FORBIDDEN),
    (WrongTeam, status.HTTP_403_FORBIDDEN),
)
"""The pool's errors; any other InputError is 422."""


class Ended(Gone):
    """``lease``: what has ended, as it was in the end."""

    def __init__(self, gone: Gone, lease: dict[str, Any] | None) -> None:
        super().__init__(gone.what, where=gone.where, remedy=gone.remedy)
        self.lease = lease


def responses(*codes: int, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these, and what may come from anywhere; with ``body``, what a body can be refused for as well."""
    return problems.responses(*codes, problem=PoolProblem, body=body)


class Desk:
    """What routes ask the broker through: answers are ready JSON, nothing is validated twice."""

    def __init__(self, broker: Broker, store: Store, ttl_s: float, teams: Teams) -> None:
        self.broker, self.store, self.past, self.ttl_s, self._teams = broker, store, Past(store), ttl_s, teams

    def asked(self, body: AskForm, user: str, admin: bool) -> Ask:
        """What is asked for, under a team that the user may name: an admin any. Raises InputError naming the field, WrongTeam."""
        ask = body.ask()
        return ask if admin else self._teams.asked(user, ask, named=body.team is not None)

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
    """Every error as a sentence, with what the pool can tell beside it."""
    problems.install(app, STATUSES, _more)

    @app.exception_handler(Broken)
    async def broken(_: Request, error: Broken) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status.HTTP_500_INTERNAL_SERVER_ERROR)


def _more(error: UpdraftError) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(error, Impossible) and error.nearest is not None:
        found["nearest"] = error.nearest.to_json()
    if isinstance(error, Ended):
        found["lease"] = error.lease
    return found
