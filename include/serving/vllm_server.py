"""One vLLM server, in the foreground: ``python -P vllm_server.py CONFIG.json``, in the `vllm` runtime.

The configuration: ``model`` (a Hugging Face folder), ``alias`` (its name for callers), ``host``, ``port``, ``context`` (tokens of one
conversation), ``parallel`` (conversations at once), ``arguments`` (vLLM's own, by their names without the dashes); optional ``cache_gib``
(memory of the conversations, whole GiB; 1), ``drain_s`` (answers under way at SIGTERM may go on for this long; 0), ``threads`` (null: one a
core). Ready when ``GET /health`` answers 200.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
Json = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Json]]
Send = Callable[[Json], Awaitable[None]]
STREAMED = ("/v1/chat/completions", "/v1/completions")


def main(config: Path) -> None:
    options: dict[str, Any] = json.loads(config.read_text())
    os.environ.update(environment(options))
    sys.argv = ["vllm", *arguments(options)]
    from vllm.entrypoints.launchers.api_server.entry import main as serve

    serve()


def arguments(options: Mapping[str, Any]) -> list[str]:
    """vLLM's command line. Pure."""
    own = {
        "model": options["model"],
        "served-model-name": options["alias"],
        "host": options["host"],
        "port": options["port"],
        "max-model-len": options["context"],
        "max-num-seqs": options["parallel"],
        "shutdown-timeout": int(options.get("drain_s", 0)),
        "middleware": f"{__name__}.TellTokens",
        "generation-config": "vllm",  # callers' defaults are OpenAI's, whatever the model's folder says
        "allowed-origins": "[]",  # no web page that a user happens to look at may read its answers
        "disable-uvicorn-access-log": True,
        "disable-fastapi-docs": True,
        "enforce-eager": True,  # compiling for processors needs a compiler, and minutes
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
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(options.get("cache_gib", 1)),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # each revision would bind itself to the same cores
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TMPDIR": "/tmp",  # its sockets are there, and a socket's path has at most 107 characters
        "SPT_NOENV": "1",  # its processes would write their titles over their environment, by which the platform knows its own
    }


class TellTokens:
    """Every stream tells its tokens in the end, which is what the gateway meters by.

    A caller that did not ask for them gets them as a comment of the stream: clients pass over those, and may not know what to make of a
    chunk without choices.
    """

    def __init__(self, app: Callable[[Json, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in STREAMED:
            return await self._app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the caller has gone
                return None
            body, more = body + message.get("body", b""), message.get("more_body", False)
        asked, again = asking(body), [True]

        async def replay() -> Json:
            if again and again.pop():
                return {"type": "http.request", "body": asked or body, "more_body": False}
            return await receive()

        async def tell(message: Json) -> None:
            if message["type"] == "http.response.body" and is_usage(message.get("body", b"")):
                message = {**message, "body": b": " + message["body"]}
            await send(message)

        return await self._app(scope, replay, tell if asked else send)


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
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
elif __name__ == "__main__":
    main(Path(sys.argv[1]))
