"""Stands before a server that knows no key: whoever shows the revision's key is let in to it, everybody else is refused.

``python -P guard.py CONFIG.json -- COMMAND...`` starts the server and ends with it. The configuration: ``header``, ``key``, ``health`` (the
path by which the server says that it is well). Without a ``key`` everybody is let in, to
a server that asks for one itself. ``UPDRAFT_DOORS`` says at which of its open sockets callers come, by port: ``{"8100": 5}``.
They are the machine's; guard and server themselves have a network of their own (include/runtime/sandbox), in which the server listens at
the same ports and nobody else can ask it. In a container, which has a network already, the configuration's ``doors`` say instead where the
guard listens for which of the server's ports: ``{"8100": 61000}``.

Standard library only.
"""

from __future__ import annotations

import asyncio
import ctypes
import hmac
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

DOORS, TCP = "UPDRAFT_DOORS", "UPDRAFT_TCP"
HEAD_S = 10.0
"""A caller must have sent its headers by then."""
HEAD_BYTES = 64 * 1024
BACKLOG = 512
LAST_S = 5.0
"""When the server has ended, callers get what it said last within this."""
LOOK_S = 0.1
"""Until the server listens it is looked for this often; callers are refused by the kernel meanwhile."""
REFUSED = b'{"error": {"message": "This port is the gateway\'s; callers have their own.", "type": "invalid_request_error", "code": 401}}'
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a server may be asked to end by: it gets it itself, being of the same process group."""
_PR_SET_PDEATHSIG = 1
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Guard:
    """Passes a connection on whose first request shows the key, as header ``header`` or as bearer, and refuses all others.

    What comes later on that connection comes from the same caller. Only whether the server is up is everybody's, and nothing else is told.
    ``connect`` leads to the server.
    """

    def __init__(self, header: str, key: str, health: str, connect: Connect) -> None:
        self._shown = (f"{header}:{key}".encode().lower(), f"authorization:bearer{key}".encode().lower()) if key else ()
        self._health, self._connect = f"GET {health} HTTP/1.1".encode(), connect
        self._answering: set[asyncio.Task[Any]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
            request, *fields = head.split(b"\r\n")
            if not self._shown or self.lets_in(fields):
                await self._pass_on(head, reader, writer)
            elif request == self._health:
                writer.write(_answer(await self._status(), b""))
            else:
                writer.write(_answer(b"401 Unauthorized", REFUSED))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it has gone, is too slow, or speaks no HTTP
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()  # what was written is with the caller

    async def answered(self) -> None:
        """Wait until all connections have ended, for at most :data:`LAST_S` seconds."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=LAST_S)

    def lets_in(self, fields: Sequence[bytes]) -> bool:
        """Whether a request's header lines show the key."""
        found = [b"".join(field.split()).lower() for field in fields]
        return any(hmac.compare_digest(field, shown) for field in found for shown in self._shown)

    async def _pass_on(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both ways, until either side has enough: an answer whose caller has gone is not written to its end."""
        inner, outer = await self._connect()
        try:
            outer.write(head)
            ways = [asyncio.create_task(_copy(reader, outer)), asyncio.create_task(_copy(inner, writer))]
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            outer.close()

    async def _status(self) -> bytes:
        """That of the server's own word on whether it is well."""
        inner, outer = await self._connect()
        try:
            outer.write(self._health + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            first = await asyncio.wait_for(inner.readline(), HEAD_S)
            return first.partition(b" ")[2].strip() or b"502 Bad Gateway"
        finally:
            outer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(HEAD_BYTES):
        writer.write(data)
        await writer.drain()


def _answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))
    return head + body


async def serve(options: Mapping[str, Any], doors: Mapping[int, int], command: Sequence[str]) -> int:
    """Run the server, and a guard at each of its doors (port → open socket). Returns the server's exit status."""
    for number in ENDS:
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which the server would inherit
    server = await asyncio.create_subprocess_exec(*command, preexec_fn=_end_with(os.getpid()))
    guards = [asyncio.create_task(_stand(options, port, socket.socket(fileno=number))) for port, number in doors.items()]
    status = await server.wait()
    for guard in guards:
        guard.cancel()
    await asyncio.gather(*guards, return_exceptions=True)
    return status if status >= 0 else 128 - status


async def _stand(options: Mapping[str, Any], port: int, door: socket.socket) -> None:
    """Once the server listens at that port."""

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    while True:
        try:
            _, writer = await connect()
            break
        except OSError:
            await asyncio.sleep(LOOK_S)
    writer.close()
    guard = Guard(options["header"], options["key"], options["health"], connect)
    standing = await asyncio.start_server(guard.answer, sock=door, limit=HEAD_BYTES, backlog=BACKLOG)
    try:
        await asyncio.Event().wait()
    finally:
        standing.close()
        await guard.answered()


def _end_with(parent: int) -> Callable[[], None]:
    """For the new process: it ends with this one, however that ends."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def own_doors(doors: Mapping[str, int]) -> dict[int, int]:
    """Bind to the container's ports that callers are led to. Returns them as ``UPDRAFT_DOORS`` does."""
    found = {}
    for port, listens in doors.items():
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("0.0.0.0", listens))
        found[int(port)] = door.detach()
    return found


def hold_ports() -> None:
    """Give up all TCP ports that a server in a container has no need of; a process of this machine is held from outside."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from include.runtime.sandbox import ports

    ports.hold(os.environ)


def main() -> int:
    config, separator, *command = sys.argv[1:]
    if separator != "--" or not command:
        print("usage: guard.py CONFIG.json -- COMMAND...", flush=True)
        return 2
    options = json.loads(Path(config).read_text())
    if TCP in os.environ:
        hold_ports()
    told = os.environ.pop(DOORS, "")
    doors = {int(port): number for port, number in json.loads(told).items()} if told else own_doors(options["doors"])
    try:
        return asyncio.run(serve(options, doors, command))
    except OSError as error:  # there is no such program
        print(f"guard: {command[0]}: {error.strerror}", flush=True)
        return 127


if __name__ == "__main__":
    sys.exit(main())
