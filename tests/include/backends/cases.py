"""What the contract's tests know of each backend: a bundle for it, how it is asked, and how its bundle is spoilt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from include.backends.custom.spec import CustomServe
from include.backends.llamacpp.spec import LlamaCppServe
from include.backends.ollama.spec import OllamaServe
from include.backends.triton.spec import TritonServe
from include.backends.vllm.spec import VllmServe
from include.runtime.revision_key import key_headers
from include.serving.revision import Revision
from include.spec.serve import Serve
from tests.include.backends.vllm.vllm_bundle import vllm_bundle
from tests.include.serving.stage import Stage

WAITS = 240.0
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}


@dataclass(frozen=True)
class Case:
    """``broken``: a file of the bundle that is cut, and what the start says then (of the file, or in the server's own words)."""

    name: str
    serve: Serve
    bundle: Callable[[Stage], Path]
    ask: Callable[[Stage, Revision], httpx.Response]
    broken: tuple[str, str]
    heavy: bool = False
    """It takes half a minute and more to start: what others show by a start of its own is shown by that of the module."""
    elsewhere: tuple[str, ...] = ()
    """Hosts beside this machine's processes that it is tried on: its image is small enough to be made for that."""


def keyed(stage: Stage, revision: Revision) -> dict[str, str]:
    """What a request to the revision's own port carries."""
    return key_headers(stage.settings, revision.name)


def _good(stage: Stage) -> Path:
    return stage.bundles / "good"


def _infer(stage: Stage, revision: Revision) -> httpx.Response:
    return httpx.post(
        f"{revision.url}/v2/models/{revision.model}/infer", json=stage.golden_request(), headers=keyed(stage, revision), timeout=30
    )


def _chat(stage: Stage, revision: Revision) -> httpx.Response:
    body = {"model": revision.model, **CHAT}
    return httpx.post(f"{revision.url}/v1/chat/completions", json=body, headers=keyed(stage, revision), timeout=60)


def _gguf(stage: Stage) -> Path:
    return stage.chat_bundle()


def _for_ollama(stage: Stage) -> Path:
    """Skipped where there is no such program."""
    if shutil.which("ollama") is None or not stage.settings.python("ollama").exists():
        pytest.skip("there is no `ollama` on PATH, or runtime ollama is not installed: make install-ollama")
    return stage.chat_bundle()


def _file(stage: Stage, revision: Revision) -> httpx.Response:
    return httpx.get(f"{revision.url}/golden.json", headers=keyed(stage, revision), timeout=30)


FILES = CustomServe(
    command=("{python}", "-m", "http.server", "{port}", "--bind", "{host}", "--directory", "{folder}"),
    protocol="own",
    health="/signature.json",
    start_timeout_s=WAITS,
    drain_s=2,
    stop_signal="INT",
)
"""A server that nobody here wrote, and that is there with every Python."""

TRITON = TritonServe(batch_delay_us=0, start_timeout_s=WAITS, drain_s=2)
LLAMACPP = LlamaCppServe(context=256, parallel=2, threads=1, drain_s=2)
EMPTY = "missing or empty"
CASES = (
    Case("triton", TRITON, _good, _infer, ("model.onnx", EMPTY), elsewhere=("docker", "kubernetes")),
    Case(
        "llamacpp", LlamaCppServe(context=256, parallel=2, threads=1, drain_s=2), _gguf, _chat, ("model.gguf", EMPTY), elsewhere=("docker",)
    ),
    Case("vllm", VllmServe(context=2048, parallel=4, drain_s=2), vllm_bundle, _chat, ("model/config.json", EMPTY), heavy=True),
    Case("ollama", OllamaServe(context=256, parallel=2, drain_s=2), _for_ollama, _chat, ("model.gguf", EMPTY)),
    Case("custom", FILES, _good, _file, ("signature.json", EMPTY), elsewhere=("docker", "kubernetes")),
)
