"""One llama.cpp server, in the foreground: ``python -P server.py CONFIG.json``, in the `llm` runtime.

The configuration: ``model`` (a GGUF file), ``alias`` (its name for callers), ``host``, ``port``, ``context`` (tokens of one conversation),
``parallel`` (conversations at once), ``threads`` (null: one a core); optional ``guard`` (``header`` and ``key``) and ``scratch``
(a folder of its own). Ready when ``GET /health`` answers 200.

With a guard llama.cpp itself listens on a Unix socket in ``scratch``, and at ``host`` and ``port`` stands a :class:`Guard`: its
own keys leave open what it tells of its models.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CACHE_MIB = 512
"""Memory for conversations that may go on (llama.cpp's own default is 8 GiB)."""
ERRORS = 1
"""llama.cpp's verbosity. Unless one is set, a dozen lines are logged a request, and not why a model does not load."""
SOCKET = "llama.sock"
HEAD_S = 10.0
"""A caller must have sent its headers by then."""
HEAD_BYTES = 64 * 1024
HEALTH = b"GET /health HTTP/1.1"
REFUSED = b'{"error": {"message": "This port is the gateway\'s; callers have their own.", "type": "invalid_request_error", "code": 401}}'


def main(config: Path) -> int:
    # Threads that wait by spinning are a thousand times slower as soon as another process wants the same core.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    options: dict[str, Any] = json.loads(config.read_text())
    guarded: Mapping[str, str] | None = options.get("guard")
    if guarded:
        os.umask(0o077)
        os.chdir(options["scratch"])  # a socket's path has at most 107 characters
        Path(SOCKET).unlink(missing_ok=True)
    threads = options.get("threads") or len(os.sched_getaffinity(0))
    params = xllamacpp.CommonParams()
    params.model.path = options["model"]
    params.model_alias = {options["alias"]}
    params.hostnames = [SOCKET if guarded else options["host"]]
    params.port = options["port"]
    params.n_parallel = options["parallel"]
    params.n_ctx = options["context"] * options["parallel"]  # the server divides it among the conversations
    params.kv_unified = False
    params.fit_params = False  # it would give less context on a machine short of memory, and not say so
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = CACHE_MIB
    # What a model thinks aloud stays in its answer, as it was trained and judged; the caller's own parser may take it out.
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    params.endpoint_metrics = True
    params.ui = params.endpoint_slots = False
    params.cors_origins = ""  # no web page that a user happens to look at may ask it
    # Its end would wait for ever while a request is under way: who stops a revision drains it at the gateway first.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    params.verbosity = ERRORS
    server = xllamacpp.Server(params)
    if guarded:
        return asyncio.run(Guard(guarded["header"], guarded["key"]).serve(options["host"], options["port"], options["alias"]))
    print(f"{options['alias']} is served at {server.listening_address}", flush=True)
    while True:
        signal.pause()


class Guard:
    """Passes a connection on whose first request shows the key, as header ``header`` or as bearer, and refuses all others.

    What comes later on that connection comes from the same caller. Only whether the server is up is everybody's, and nothing else is told.
    """

    def __init__(self, header: str, key: str) -> None:
        self._shown = (f"{header}:{key}".encode().lower(), f"authorization:bearer{key}".encode().lower())

    async def serve(self, host: str, port: int, alias: str) -> int:
        """Until the process ends; 1 when the address is taken."""
        try:
            door = await asyncio.start_server(self._connection, host, port, limit=HEAD_BYTES, backlog=512, reuse_port=True)
        except OSError as error:
            print(f"couldn't bind HTTP server socket, hostname: {host}, port: {port}: {error}", flush=True)
            return 1
        print(f"{alias} is served at http://{host}:{port}", flush=True)
        async with door:
            await door.serve_forever()
        return 0

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
            request, *fields = head.split(b"\r\n")
            if self.lets_in(fields):
                await _pass_on(head, reader, writer)
            elif request == HEALTH:
                writer.write(_answer(await _health(), b""))
            else:
                writer.write(_answer(b"401 Unauthorized", REFUSED))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it has gone, is too slow, or speaks no HTTP
        finally:
            writer.close()

    def lets_in(self, fields: Sequence[bytes]) -> bool:
        """Whether a request's header lines show the key."""
        found = [b"".join(field.split()).lower() for field in fields]
        return any(hmac.compare_digest(field, shown) for field in found for shown in self._shown)


async def _pass_on(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both ways, until either side has enough: an answer whose caller has gone is not written to its end."""
    inner, outer = await asyncio.open_unix_connection(SOCKET)
    try:
        outer.write(head)
        ways = [asyncio.create_task(_copy(reader, outer)), asyncio.create_task(_copy(inner, writer))]
        _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in left:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    finally:
        outer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(HEAD_BYTES):
        writer.write(data)
        await writer.drain()


async def _health() -> bytes:
    """The status of llama.cpp's own word on it."""
    inner, outer = await asyncio.open_unix_connection(SOCKET)
    try:
        outer.write(HEALTH + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        first = await asyncio.wait_for(inner.readline(), HEAD_S)
        return first.partition(b" ")[2].strip() or b"502 Bad Gateway"
    finally:
        outer.close()


def _answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))
    return head + body


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
