"""One llama.cpp server, in the foreground: ``python -P server.py CONFIG.json``, in the `llm` runtime.

The configuration: ``model`` (a GGUF file), ``alias`` (its name for callers), ``host``, ``port``, ``context`` (tokens of one conversation),
``parallel`` (conversations at once), ``threads`` (null: one a core); optional ``guard`` (``header`` and ``key``) and ``scratch``
(a folder of its own). Ready when ``GET /health`` answers 200.

With a guard llama.cpp itself listens on a Unix socket in ``scratch``, and at ``host`` and ``port`` stands a guard (``backends/guard.py``):
its own keys leave open what it tells of its models.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CACHE_MIB = 512
"""Memory for conversations that may go on (llama.cpp's own default is 8 GiB)."""
ERRORS = 1
"""llama.cpp's verbosity. Unless one is set, a dozen lines are logged a request, and not why a model does not load."""
SOCKET = "llama.sock"
HEAD_BYTES = 64 * 1024
HEALTH = "/health"


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
        return asyncio.run(_stand(guarded, options["host"], options["port"], options["alias"]))
    print(f"{options['alias']} is served at {server.listening_address}", flush=True)
    while True:
        signal.pause()


async def _stand(guarded: Mapping[str, str], host: str, port: int, alias: str) -> int:
    """Before the server, until the process ends; 1 when the address is taken."""
    guard = _guard().Guard(guarded["header"], guarded["key"], HEALTH, lambda: asyncio.open_unix_connection(SOCKET))
    try:
        door = await asyncio.start_server(guard.answer, host, port, limit=HEAD_BYTES, backlog=512, reuse_port=True)
    except OSError as error:
        print(f"couldn't bind HTTP server socket, hostname: {host}, port: {port}: {error}", flush=True)
        return 1
    print(f"{alias} is served at http://{host}:{port}", flush=True)
    async with door:
        await door.serve_forever()
    return 0


def _guard() -> Any:
    """The module of that name beside this folder: no package can be imported where this runs."""
    spec = importlib.util.spec_from_file_location("guard", Path(__file__).parents[1] / "guard.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
