"""One vLLM server, in the foreground: ``python vllm_server.py CONFIG.json``, in the `vllm` runtime.

The configuration: ``model`` (a Hugging Face folder), ``alias`` (its name for callers), ``host``, ``port``, ``context`` (tokens of one
conversation), ``parallel`` (conversations at once), ``arguments`` (vLLM's own, by their names without the dashes); optional ``cache_gib``
(memory of the conversations, whole GiB; 1), ``drain_s`` (answers under way at SIGTERM may go on for this long; 0), ``threads``. Ready when
``GET /health`` answers 200.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAM = "vllm.entrypoints.openai.api_server"


def main(config: Path) -> None:
    options: dict[str, Any] = json.loads(config.read_text())
    # vLLM takes the place of this process: who stops or kills it need not know of this one.
    os.execve(sys.executable, [sys.executable, "-P", "-m", PROGRAM, *arguments(options)], os.environ | environment(options))


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
        "enforce-eager": True,  # compiling for processors needs a compiler, and minutes
        "disable-uvicorn-access-log": True,
        "disable-fastapi-docs": True,
        # What callers may not change: no sampling defaults but OpenAI's, whatever the model's folder says.
        "generation-config": "vllm",
    }
    return [part for name, value in (own | dict(options.get("arguments", {}))).items() for part in _argument(name, value)]


def _argument(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", value if isinstance(value, str) else json.dumps(value)]


def environment(options: Mapping[str, Any]) -> dict[str, str]:
    """What vLLM is told by variables: nothing leaves the machine, and nothing is fetched. Pure."""
    threads = options.get("threads")
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(options.get("cache_gib", 1)),
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}" if threads else "auto",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
