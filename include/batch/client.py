"""Asks the items of a shard through the gateway and records each answer, or why there is none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.batch.form import BatchForm
from include.batch.ledger import Ledger
from include.batch.room import Room
from include.errors import ComponentError, InputError

if TYPE_CHECKING:
    import aiohttp

FIRST_PARTS = 3
"""Where none of so many parts of a request is answered, the server is away, and not broken by one of them."""
TRIES = 6
PAUSE_S = 0.5
"""Before a second try; doubled each time, ``LONGEST_S`` at most."""
LONGEST_S = 8.0
SAY_S = 10.0


@dataclass(frozen=True)
class BatchTarget:
    """``POST {url}`` and the path of ``form`` with these headers; ``options`` are further fields of every body (``max_tokens``, ...)."""

    form: BatchForm
    url: str
    headers: Mapping[str, str]
    model: str
    options: Mapping[str, Any]
    slots: int
    """Answers that the server gives at once."""
    active: Callable[[], int]
    """How many requests are at the server, whoever's (it may block)."""
    timeout_s: float = 600.0


def run(target: BatchTarget, items: Iterator[tuple[int, Any]], ledger: Ledger, most: int | None, say: Callable[[str], None]) -> None:
    """A record in ``ledger`` for every item that has none, ``most`` at once and fewer while others ask.

    An item that the server refuses, or that breaks it time and again, is recorded with its error. Raises InputError when nobody is let in,
    ComponentError when nobody is answered: then what is recorded stays, and the rest is for the next try.
    """
    asyncio.run(_Shard(target, items, ledger, say).run(most))


class _Shard:
    def __init__(self, target: BatchTarget, items: Iterator[tuple[int, Any]], ledger: Ledger, say: Callable[[str], None]) -> None:
        self._target, self._ledger, self._say = target, ledger, say
        self._todo = ((number, item) for number, item in items if number not in ledger.numbers)
        self._answered_at = self._said_at = time.monotonic()
        self._answered = 0

    async def run(self, most: int | None) -> None:
        import aiohttp

        self._room = Room(self._target.slots, most, self._target.active)
        headers = {**self._target.headers, "content-type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=self._target.timeout_s)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            watch = asyncio.create_task(self._room.watch())
            workers = asyncio.create_task(self._all(session))
            try:
                await asyncio.wait({watch, workers}, return_when=asyncio.FIRST_COMPLETED)
                if watch.done():
                    watch.result()  # it ends by its error alone
                await workers
            finally:
                for task in (workers, watch):
                    task.cancel()
                    with suppress(asyncio.CancelledError, ComponentError, InputError):
                        await task

    async def _all(self, session: aiohttp.ClientSession) -> None:
        await asyncio.gather(*(self._work(session) for _ in range(self._room.most)))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        for number, item in self._todo:
            record = await self._ask(session, item)
            if "refused" in record:
                parts = self._target.form.parts(item)
                if len(parts) > 1:  # one of them may be all that was refused
                    record = self._target.form.joined(await self._each(session, parts))
                record.pop("refused", None)
            self._ledger.add({"number": number, "line": item.line, "id": item.id, **record})
            self._answered += 1
            if time.monotonic() - self._said_at > SAY_S:
                self._said_at = time.monotonic()
                self._say(f"{self._answered} more answered; {self._room.allowed} at once now")

    async def _each(self, session: aiohttp.ClientSession, parts: Sequence[Any]) -> list[dict[str, Any]]:
        """The records of an item's parts, asked one after the other. ComponentError when of the first nothing at all is answered."""
        begun, found = time.monotonic(), list[dict[str, Any]]()
        for part in parts:
            found.append(await self._ask(session, part, is_part=True))
            if self._answered_at < begun and len(found) >= min(FIRST_PARTS, len(parts)):
                raise self._away(found[0]["error"])
        return found

    async def _ask(self, session: aiohttp.ClientSession, item: Any, *, is_part: bool = False) -> dict[str, Any]:
        """The answer's record, or that of the error that no other try would mend; ``refused`` where a part of the item may be at fault."""
        import aiohttp

        form, model = self._target.form, self._target.model
        body, url = form.body(model, item, self._target.options), f"{self._target.url.rstrip('/')}{form.path(model)}"
        begun, problem = time.monotonic(), ""
        tries = 0
        while tries < TRIES:
            pause_s = min(PAUSE_S * 2**tries, LONGEST_S)
            text, status = b"", 0
            headers: Mapping[str, str] = {}
            async with self._room.place():
                started, clock = time.time(), time.monotonic()
                try:
                    async with session.post(url, data=body) as answer:
                        text, status, headers = await answer.read(), answer.status, answer.headers
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    problem = f"no answer: {type(error).__name__} {error}".strip()
                seconds = time.monotonic() - clock
            if status == 200:
                self._answered_at = time.monotonic()
                return form.record(text, headers, item) | {"started": round(started, 3), "seconds": round(seconds, 3)}
            if status:
                problem = f"{status}: {_sentence(text)}"
            if status in (401, 403):
                raise InputError(problem, where=f"gateway at {self._target.url}", remedy="Run `make up`: it renews the credentials.")
            if status == 404:
                raise ComponentError(problem, where=f"gateway at {self._target.url}", remedy="Does a version of the model serve?")
            if 400 <= status < 500 and status not in (408, 429):
                self._answered_at = time.monotonic()
                return {"error": problem, "refused": True} | form.failed(item)
            if status == 429:
                pause_s = _retry_after(headers, pause_s)
            else:
                tries += 1
            await asyncio.sleep(pause_s)
        if self._answered_at < begun and not is_part and len(form.parts(item)) < 2:  # nobody else was answered either
            raise self._away(problem)
        return {"error": f"{problem} ({TRIES} times)", "refused": True} | form.failed(item)

    def _away(self, problem: str) -> ComponentError:
        return ComponentError(problem, where=f"gateway at {self._target.url}", remedy="See the revision's log.")


UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What is raised by an answer in another form than OpenAI's: servers that nobody here wrote give any."""


def _sentence(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:400]
    except UNREADABLE:
        return body[:400].decode(errors="replace")


def _retry_after(headers: Mapping[str, str], default: float) -> float:
    said = headers.get("retry-after", "")
    return min(float(said), 60.0) if said.isdigit() else default
