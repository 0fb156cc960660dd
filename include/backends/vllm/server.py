"""One vLLM server, in the foreground: ``python -P vllm_server.py CONFIG.json``, in the `vllm` runtime.

The configuration: ``model`` (a Hugging Face folder), ``alias`` (its name for callers), ``host``, ``port``, ``context`` (tokens of one
conversation), ``parallel`` (conversations at once), ``arguments`` (vLLM's own, by their names without the dashes); optional ``cache_gib``
(memory of the conversations, whole GiB; 1), ``drain_s`` (answers under way at SIGTERM may go on for this long; 0), ``threads`` (null: one a
core), ``guard`` (``header`` and ``key``: whoever does not send this header with this value is told nothing). Ready when ``GET /health``,
which is everybody's and has no content, answers 200.

With ``adapters``, a file, the model is a base, and what the file lists is served on it: a JSON list of ``name`` (the engine's own, no two
alike), ``alias`` (for callers), ``host``, ``port``, ``path`` (a folder as PEFT writes it), ``error`` (a file that says why one could not
be loaded) and ``guard``. Each adapter answers on a port of its own, as if it were its server's only model; the base itself listens on
none, only on a Unix socket in ``scratch``. The file is read again and again: what was
added is loaded, what is gone finishes its answers and is unloaded. Beside it stands what is loaded now, as ``.served``: ``process`` and
``names``.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import hmac
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, ClassVar

_PR_SET_PDEATHSIG = 1
_NEWUSER, _NEWNET, _SIOCSIFFLAGS, _IFF_UP = 0x10000000, 0x40000000, 0x8914, 1
_LIBC = ctypes.CDLL(None, use_errno=True)
OWN_NETWORK = "UPDRAFT_ENGINE_NETWORK"
Json = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Json]]
Send = Callable[[Json], Awaitable[None]]
App = Callable[[Json, Receive, Send], Awaitable[None]]
STREAMED = ("/v1/chat/completions", "/v1/completions")
LISTED = "/v1/models"
HEALTH = "/health"
PATHS = (*STREAMED, "/v1/embeddings", LISTED, HEALTH, "/metrics", "/tokenize")
"""All that there is on a server's own port: a chat model answers no embeddings, a pooling one nothing but them. vLLM has much more, which
nobody here asks for."""
BASE_SOCKET = "base.sock"
Guard = Mapping[str, str]
LOOK_S = 0.2
"""The list of adapters is read this often."""
AGAIN_S = 10.0
"""One that could not be loaded is tried again after this."""


def main(config: Path) -> None:
    options: dict[str, Any] = json.loads(config.read_text())
    TellTokens.guard = options.get("guard") or {}
    if options.get("adapters"):
        WithAdapters.file, WithAdapters.drain_s = Path(options["adapters"]), int(options.get("drain_s", 0))
        os.umask(0o077)
        os.chdir(options["scratch"])  # a socket's path has at most 107 characters
        Path(BASE_SOCKET).unlink(missing_ok=True)
    os.environ.update(environment(options))
    sys.argv = ["vllm", *arguments(options)]
    from vllm.entrypoints.launchers.api_server import entry

    # Whoever starts it holds its port meanwhile by a socket with this option (include/runtime/held_ports.py).
    set_up = entry.setup_server
    entry.setup_server = lambda args, *, reuse_port: set_up(args, reuse_port=True)
    entry.main()


def own_network() -> None:
    """Leave the machine's network for one that has nothing but a loopback, with all processes that this one starts.

    The engine's processes meet at torch's store and at gloo's sockets, which ask nobody for a password; with the server, which listens for
    callers, they speak by Unix sockets. Where the kernel gives no networks they stay where they are, and the log says so.
    """
    if os.environ.get(OWN_NETWORK):
        return  # they meet in that of the one that started this
    try:
        if _LIBC.unshare(_NEWUSER | _NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            fcntl.ioctl(asked, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
    except OSError as error:
        print(f"The engine has no network of its own here ({error.strerror}): any program of this machine reaches its sockets.", flush=True)
    os.environ[OWN_NETWORK] = "1"


def arguments(options: Mapping[str, Any]) -> list[str]:
    """vLLM's command line. Pure."""
    own = {
        "model": options["model"],
        "served-model-name": options["alias"],
        **({"uds": BASE_SOCKET} if options.get("adapters") else {"host": options["host"], "port": options["port"]}),
        "max-model-len": options["context"],
        "max-num-seqs": options["parallel"],
        "shutdown-timeout": int(options.get("drain_s", 0)),
        "middleware": f"{__name__}.{'WithAdapters' if options.get('adapters') else 'TellTokens'}",
        "generation-config": "vllm",  # callers' defaults are OpenAI's, whatever the model's folder says
        "allowed-origins": "[]",  # no web page that a user happens to look at may read its answers
        "disable-uvicorn-access-log": True,
        "disable-fastapi-docs": True,
        "enforce-eager": True,  # compiling for processors needs a compiler, and minutes
        **({"enable-lora": True} if options.get("adapters") else {}),
    }
    return [part for name, value in (own | dict(options.get("arguments", {}))).items() for part in _argument(name, value)]


def _argument(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}", value if isinstance(value, str) else json.dumps(value)]


def environment(options: Mapping[str, Any]) -> dict[str, str]:
    """What vLLM is told by variables: nothing leaves the machine, nothing is fetched, and threads that wait leave the cores to others."""
    threads = options.get("threads") or len(os.sched_getaffinity(0))
    eager = options.get("arguments", {}).get("enforce-eager", True)
    return {
        # Eager or not, it compiles what finds a token's rank: whoever asks for logprobs would end a server that has no compiler.
        **({"TORCHDYNAMO_DISABLE": "1"} if eager else {}),
        "VLLM_CPU_KVCACHE_SPACE": str(options.get("cache_gib", 1)),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # each revision would bind itself to the same cores
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "VLLM_HOST_IP": "127.0.0.1",  # where it talks to itself; it asks for a route to the internet otherwise
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TMPDIR": "/tmp",  # its sockets are there, and a socket's path has at most 107 characters
        "SPT_NOENV": "1",  # its processes would write their titles over their environment, by which the platform knows its own
    }


def refusal(scope: Json, guard: Guard) -> int:
    """The status with which a request is refused: it lacks the key, or there is no such path. 0: it is let in. Pure."""
    if scope["type"] == "http" and scope["path"] == HEALTH:
        return 0
    shown = [value for name, value in scope["headers"] if name == guard["header"].encode()] if guard else []
    if guard and not any(hmac.compare_digest(value, guard["key"].encode()) for value in shown):
        return 401
    return 0 if scope["type"] == "http" and scope["path"] in PATHS else 404


class TellTokens:
    """Lets in whoever has the key, and nobody else, to the paths that there are.

    Every stream tells its tokens in the end, which is what the gateway meters by. A caller that did not ask for them gets them as a comment
    of the stream: clients pass over those, and may not know what to make of a chunk without choices.
    """

    guard: ClassVar[Guard] = {}

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if status := refusal(scope, self.guard):
            return await refuse(scope, send, status)
        if scope["path"] not in STREAMED:
            return await self._app(scope, receive, send)
        body = await read(receive)
        if body is None:
            return None
        asked = asking(body)

        async def tell(message: Json) -> None:
            if message["type"] == "http.response.body" and is_usage(message.get("body", b"")):
                message = {**message, "body": b": " + message["body"]}
            await send(message)

        return await self._app(scope, replayed(asked or body, receive), tell if asked else send)


class WithAdapters(TellTokens):
    """The adapters of the list are served too, from the server's first moment to its last."""

    file: ClassVar[Path]
    drain_s: ClassVar[int]

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._adapters = asyncio.create_task(Adapters(scope["app"], self.file, self.drain_s).keep())
        await super().__call__(scope, receive, send)


class Adapters:
    """Brings what is served into line with the list, for ever. ``app`` is vLLM's, which has the engine."""

    def __init__(self, app: Any, file: Path, drain_s: int) -> None:
        self._app, self._file, self._drain_s = app, file, drain_s
        self._models = app.state.openai_serving_models
        self._served: dict[str, tuple[Any, asyncio.Task[None]]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._said: str | None = None
        self._failed: dict[str, float] = {}

    async def keep(self) -> None:
        while True:
            try:
                wanted = {one["name"]: one for one in json.loads(self._file.read_text())}
                await self._look(wanted)
            except Exception as error:  # one adapter's trouble is none of the others'
                print(f"adapters: {error!r}", flush=True)
            self._say()
            await asyncio.sleep(LOOK_S)

    def _say(self) -> None:
        said = json.dumps({"process": os.getpid(), "names": sorted(self._models.lora_requests)})
        if said != self._said:
            replace(self._file.with_suffix(".served"), said)
            self._said = said

    async def _look(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        for name in self._served.keys() - wanted.keys():
            self._ending[name] = asyncio.create_task(self._end(name, *self._served.pop(name)))
        self._ending = {name: task for name, task in self._ending.items() if not task.done()}
        self._failed = {name: at for name, at in self._failed.items() if name in wanted}
        for name, adapter in wanted.items():
            error = Path(adapter["error"])
            if name in self._served or name in self._ending:
                continue
            if error.exists() and time.monotonic() < self._failed.get(name, 0) + AGAIN_S:
                continue
            try:
                await self._begin(name, adapter)
                error.unlink(missing_ok=True)
            except (OSError, ValueError) as why:
                self._failed[name] = time.monotonic()
                replace(error, str(why))

    async def _begin(self, name: str, adapter: Mapping[str, Any]) -> None:
        """Load it and listen. ValueError with the engine's own words when it can't be loaded."""
        import uvicorn
        from vllm.entrypoints.launchers.launcher import NoSignalServer
        from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest

        if name not in self._models.lora_requests:
            said = await self._models.load_lora_adapter(LoadLoRAAdapterRequest(lora_name=name, lora_path=adapter["path"]))
            if not isinstance(said, str):
                raise ValueError(said.error.message)
        door = socket.create_server((adapter["host"], adapter["port"]), backlog=2048, reuse_port=True)
        app = OneAdapter(self._app, name, adapter["alias"], adapter["path"], adapter.get("guard") or {})
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=self._drain_s or None)
        server = NoSignalServer(config)
        self._served[name] = server, asyncio.create_task(server.serve(sockets=[door]))
        print(f"adapters: {name} is served on port {adapter['port']}", flush=True)

    async def _end(self, name: str, server: Any, task: asyncio.Task[None]) -> None:
        from vllm.entrypoints.serve.lora.protocol import UnloadLoRAAdapterRequest

        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        number = self._models.lora_requests[name].lora_int_id
        await self._models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=name))
        await self._models.engine_client.remove_lora(number)  # its room is the next one's
        print(f"adapters: {name} is unloaded", flush=True)


class OneAdapter:
    """One adapter as callers see it: the only model of its server, by the name that they know it under."""

    def __init__(self, app: App, name: str, alias: str, path: str, guard: Guard) -> None:
        self._app, self._name, self._guard = app, name, guard
        # Within JSON strings quotes are escaped: this is found as a key only.
        self._inner, self._outer = (b'"model":' + json.dumps(one).encode() for one in (name, alias))
        card = {"id": alias, "object": "model", "created": 0, "owned_by": "updraft", "root": path}
        self._list = json.dumps({"object": "list", "data": [card]}).encode()

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        if status := refusal(scope, self._guard):
            return await refuse(scope, send, status)
        if scope["path"] == LISTED:
            return await answer(send, 200, self._list)
        if scope["path"] not in STREAMED:
            return await self._app(scope, receive, send)
        body = await read(receive)
        if body is None:
            return None
        return await self._app(scope, replayed(named(body, self._name), receive), self._renamed(send))

    def _renamed(self, send: Send) -> Send:
        """What the server answers, of the model that the caller knows."""
        held: list[Json] = []

        async def renamed(message: Json) -> None:
            if message["type"] == "http.response.start":
                if any(name == b"content-length" for name, _ in message["headers"]):
                    held.append(message)  # until it is known how long the body is
                    return
            elif message["type"] == "http.response.body":
                message = {**message, "body": message.get("body", b"").replace(self._inner, self._outer)}
                for start in held:
                    others = [pair for pair in start["headers"] if pair[0] != b"content-length"]
                    length = [] if message.get("more_body") else [(b"content-length", str(len(message["body"])).encode())]
                    await send({**start, "headers": [*others, *length]})
                held.clear()
            await send(message)

        return renamed


def replace(file: Path, text: str) -> None:
    """In one step."""
    part = file.with_name(f".{file.name}.part")
    part.write_text(text)
    part.replace(file)


async def read(receive: Receive) -> bytes | None:
    """A request's whole body; None when its caller has gone."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def replayed(body: bytes, receive: Receive) -> Receive:
    """A request that was read: this body, then whatever else comes."""
    again = [True]

    async def replay() -> Json:
        if again and again.pop():
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


async def refuse(scope: Json, send: Send, status: int) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1008})
    message = "This port is the gateway's; callers have their own." if status == 401 else "There is no such path."
    await answer(send, status, json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": status}}).encode())


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def named(body: bytes, name: str) -> bytes:
    """The same request of the model ``name``; a body that is no good is left to the server to refuse."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return json.dumps(request | {"model": name}).encode() if isinstance(request, dict) else body


def asking(body: bytes) -> bytes | None:
    """The same request asking for its tokens; None when it does so already, is no stream, or is no good."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(request, dict) or request.get("stream") is not True:
        return None
    options = request.get("stream_options") or {}
    if not isinstance(options, dict) or options.get("include_usage"):
        return None
    return json.dumps(request | {"stream_options": {**options, "include_usage": True}}).encode()


def is_usage(chunk: bytes) -> bool:
    """Whether this is the chunk that only tells the tokens."""
    if not chunk.startswith(b"data: {") or b'"choices":[]' not in chunk:
        return False
    try:
        return not json.loads(chunk.removeprefix(b"data: "))["choices"]
    except (ValueError, KeyError):
        return False


if __name__ == "__mp_main__":
    # Told to end with the rest of the group, the engine's processes would leave the answers under way; the first one tells them when.
    os.setpgid(0, 0)
    # And they outlive one that was killed, with its memory: the kernel ends each with the one that started it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    own_network()
elif __name__ == "__main__":
    main(Path(sys.argv[1]))
