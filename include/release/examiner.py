"""Asks both arms of a trial the same live requests, through the gateway, and keeps what comes of comparing the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from include.canary.observations import Sample
from include.gateway.recorder import Known, Recorder

if TYPE_CHECKING:
    import aiohttp

ASK_S = 300.0
IDLE_S = 0.1
UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, ArithmeticError)

T = TypeVar("T", bound=Known)
R = TypeVar("R", bound=Known, contravariant=True)
A = TypeVar("A")


class Questions(Protocol[R, A]):
    """How requests of one form are asked again, and their answers compared."""

    @property
    def path(self) -> str:
        """Where they go, below the gateway's address."""

    def body(self, request: R) -> Mapping[str, Any]:
        """Return what both arms are asked."""

    def answer(self, found: Any) -> A:
        """Return the answer in a 200's JSON. May raise any of :data:`UNREADABLE`."""

    def compared(self, request: R, stable: A, canary: A) -> Sample:
        """Return one request's outcome. May read files."""


class Examiner(Generic[T, A]):
    """``stable`` and ``canary`` are the headers that reach each arm at ``url``.

    At most ``most`` requests are asked, ``pause_s`` apart, one at a time: it must not become the load. Belongs to one event loop.
    """

    def __init__(
        self,
        recorder: Recorder[T],
        questions: Questions[T, A],
        url: str,
        stable: Mapping[str, str],
        canary: Mapping[str, str],
        *,
        most: int,
        pause_s: float,
    ) -> None:
        self._recorder, self._questions, self._address = recorder, questions, f"{url.rstrip('/')}{questions.path}"
        self._arms = (dict(stable), dict(canary))
        self._most, self._pause_s = most, pause_s
        self._found, self._ids = Sample(), list[str]()

    def drain(self) -> tuple[Sample, list[str]]:
        """Return what was found since the last call, and the ids of the requests."""
        found = self._found, self._ids
        self._found, self._ids = Sample(), []
        return found

    async def run(self) -> None:
        """Ask until ``most`` requests are through. One that an arm has no answer to is left out: errors are judged by live traffic."""
        import aiohttp

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_S)) as session:
            for _ in range(self._most):
                while (request := self._recorder.take()) is None:
                    await asyncio.sleep(IDLE_S)
                answers = await asyncio.gather(*(self._ask(session, request, headers) for headers in self._arms))
                self._ids.append(request.id)
                if answers[0] is not None and answers[1] is not None:
                    self._found += await asyncio.to_thread(self._questions.compared, request, answers[0], answers[1])
                await asyncio.sleep(self._pause_s)

    async def _ask(self, session: aiohttp.ClientSession, request: T, headers: Mapping[str, str]) -> A | None:
        import aiohttp

        typed = {**headers, "content-type": "application/json"}
        try:
            async with session.post(self._address, data=json.dumps(self._questions.body(request)), headers=typed) as answer:
                return self._questions.answer(await answer.json()) if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, *UNREADABLE):
            return None
