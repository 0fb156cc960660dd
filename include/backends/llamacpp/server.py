"""One llama.cpp server, in the foreground: ``python -m include.backends.llamacpp.server CONFIG.json``, in the `llm` runtime.

The configuration: ``model`` (a GGUF file), ``alias`` (its name for callers), ``host``, ``port``, ``context`` (tokens of one conversation),
``parallel`` (conversations at once), ``threads`` (null: one a core). Ready when ``GET /health`` answers 200.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

CACHE_MIB = 512
"""Memory for conversations that may go on (llama.cpp's own default is 8 GiB)."""
ERRORS = 1
"""llama.cpp's verbosity. Unless one is set, a dozen lines are logged a request, and not why a model does not load."""


def main(config: Path) -> int:
    # Threads that wait by spinning are a thousand times slower as soon as another process wants the same core.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    options: dict[str, Any] = json.loads(config.read_text())
    threads = options.get("threads") or len(os.sched_getaffinity(0))
    params = xllamacpp.CommonParams()
    params.model.path = options["model"]
    params.model_alias = {options["alias"]}
    params.hostnames = [options["host"]]
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
    print(f"{options['alias']} is served at {server.listening_address}", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
