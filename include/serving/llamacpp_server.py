"""One llama.cpp server, in the foreground: ``python -m include.serving.llamacpp_server CONFIG.json``, in the `llm` runtime.

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


def main(config: Path) -> int:
    import xllamacpp

    options: dict[str, Any] = json.loads(config.read_text())
    threads = options.get("threads") or os.cpu_count() or 1
    params = xllamacpp.CommonParams()
    params.model.path = options["model"]
    params.model_alias = {options["alias"]}
    params.hostnames = [options["host"]]
    params.port = options["port"]
    params.n_parallel = options["parallel"]
    params.n_ctx = options["context"] * options["parallel"]  # the server divides it among the conversations
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.endpoint_metrics = True
    params.ui = params.endpoint_slots = False
    # Its end would wait for ever while a request is under way: who stops a revision drains it at the gateway first.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    server = xllamacpp.Server(params)
    print(f"{options['alias']} is served at {server.listening_address}", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
