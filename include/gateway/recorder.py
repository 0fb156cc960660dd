"""Live requests for a trial: copies of a share of the requests arrive on a Unix socket and wait in memory until they are asked again.

Nothing is written to a disk. The socket is in a folder of its owner's alone; Envoy sends the copies (:class:`include.gateway.table.Tap`),
and nobody waits for the answers to them: a recorder that is slow or away costs callers nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from include.data.chats import ROLES, prompt_id

if TYPE_CHECKING:
    from aiohttp import web

WAITING = 64
"""Requests that wait at once; of more, the oldest are forgotten."""
MAX_BODY_BYTES = 256 * 1024
"""A longer request is not recorded."""
PATH = "/v1/chat/completions"


class Known(Protocol):
    """What is recorded once: requests of one ``id`` are the same."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Known)


@dataclass(frozen=True)
class Recorded:
    """A live request of a chat: ``id`` is its prompt's, as in a snapshot of chats; ``body`` what was sent."""

    id: str
    body: dict[str, Any]

    @classmethod
    def parse(cls, text: bytes) -> Recorded | None:
        """None for what can't be asked again as text: no JSON, no chat, messages with parts or tools."""
        try:
            body = json.loads(text)
            messages = body["messages"]
            plain = all(message["role"] in ROLES and isinstance(message["content"], str) for message in messages)
            return cls(prompt_id(messages), body) if plain and messages and not body.get("tools") else None
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
            return None


class Recorder(Generic[T]):
    """Records each request for ``path`` once, as ``parse`` reads it (None: not at all); those in ``known`` neither. Belongs to one event
    loop."""

    def __init__(self, socket: Path, path: str, parse: Callable[[bytes], T | None], known: Collection[str] = ()) -> None:
        self._socket, self._path, self._parse = socket, path, parse
        self._waiting: OrderedDict[str, T] = OrderedDict()
        self._known = set(known)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; a socket that was left by a process that was killed is replaced."""
        from aiohttp import web

        self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._socket.parent.chmod(0o700)
        self._socket.unlink(missing_ok=True)
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_post(self._path, self._record)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()
        self._socket.chmod(0o600)

    async def stop(self) -> None:
        """Forget everything."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.unlink(missing_ok=True)
        self._waiting.clear()
        self._known.clear()

    def take(self) -> T | None:
        """The request that has waited longest; it is not recorded again."""
        if not self._waiting:
            return None
        key, found = self._waiting.popitem(last=False)
        self._known.add(key)
        return found

    async def _record(self, request: web.Request) -> web.Response:
        from aiohttp import web

        found = self._parse(await request.read())
        if found is not None and found.id not in self._known:
            self._waiting.setdefault(found.id, found)
            if len(self._waiting) > WAITING:
                self._waiting.popitem(last=False)
        return web.Response(status=204)


def socket_of(trials: Path, model: str) -> Path:
    """A short path: a socket's may have 107 bytes."""
    return trials / f"{hashlib.sha256(model.encode()).hexdigest()[:10]}.sock"
