"""vLLM as an engine: one server with a Hugging Face model behind OpenAI's API."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import ComponentError, InputError
from include.serving import vllm_model
from include.serving.chat_bundle import FOLDER, ChatBundle
from include.serving.engine import AnyServe, Engine, get, link
from include.serving.revision import Revision
from include.spec.llm import LlmServe

SERVER = Path(__file__).with_name("vllm_server.py")
OPTIONS = "options.json"
DRAIN_S = 10
"""Answers under way when it is told to end may go on for this long; whoever stops a revision has drained it at the gateway before."""


class Vllm(Engine):
    name = "vllm"
    ports = 1
    stop_wait_s = DRAIN_S + 20
    causes = (
        # Not within a warning's `quotes`.
        re.compile(r"(?<![`\w])((?:\w*SafetensorError|OSError|OutOfMemoryError|MemoryError|ZMQError): .*)$"),
        re.compile(r"Value error, (.*?)(?: \[type=.*)?$"),
        re.compile(r"vllm: error: (.*)$"),
        re.compile(r"(?<![`\w])((?:ValueError|RuntimeError|KeyError|AssertionError|ImportError|ModuleNotFoundError): .*)$"),
    )

    def prepare(self) -> None:
        python = self._settings.python("vllm")
        if not any((python.parent.parent / "lib").glob("python*/site-packages/vllm")):
            raise ComponentError("the vllm runtime is not installed.", where=str(python), remedy="Run `make install-vllm`.")

    def digest(self, bundle: Path) -> str:
        return ChatBundle.read(bundle, FOLDER).digest()

    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: AnyServe, params: Mapping[str, Any]) -> None:
        """InputError too when the model can't be served so: the heads don't divide, or the memory does not suffice."""
        assert isinstance(serve, LlmServe)
        vllm_model.check(bundle / FOLDER, serve)
        shutil.rmtree(folder, ignore_errors=True)
        for source in (bundle / FOLDER).rglob("*"):
            if source.is_file():
                target = folder / source.relative_to(bundle)
                target.parent.mkdir(parents=True, exist_ok=True)
                link(source, target)
        (folder / OPTIONS).write_text(json.dumps(options(folder / FOLDER, serve)))

    def check(self, folder: Path, model: str, version: str) -> None:
        for path in (folder / FOLDER / "config.json", folder / OPTIONS):
            if not path.is_file() or not path.stat().st_size:
                raise InputError("is missing or empty.", where=str(path), remedy="Deploy the version again.")

    def command(self, revision: Revision, folder: Path) -> tuple[tuple[str, ...], dict[str, str]]:
        known = json.loads((folder / OPTIONS).read_text())
        place = {"model": str(folder / FOLDER), "alias": revision.model, "host": revision.host, "port": revision.http_port}
        config = folder / "server.json"
        atomic.write(config, json.dumps(known | place, indent=1))
        python = self._settings.python("vllm")
        environment = {"PATH": f"{python.parent}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "VLLM_CACHE_ROOT": str(folder / "cache")}
        return (str(python), "-P", str(SERVER), str(config)), environment

    def ready(self, revision: Revision, folder: Path) -> bool:
        # /health says 200 for any server that took this port first.
        return get(f"{revision.url}/health") is not None and serves(get(f"{revision.url}/v1/models"), folder / FOLDER)


def serves(models: bytes | None, folder: Path) -> bool:
    """Whether a server that answers ``GET /v1/models`` so serves the model in this folder."""
    try:
        return any(one["root"] == str(folder) for one in json.loads(models or b"{}")["data"])
    except (ValueError, KeyError, TypeError):
        return False


def options(model: Path, serve: LlmServe) -> dict[str, Any]:
    """What the server is told beside where it listens."""
    return {
        "context": serve.context,
        "parallel": serve.parallel,
        "threads": serve.threads,
        "arguments": serve.arguments,
        "cache_gib": vllm_model.cache_gib(model, serve),
        "drain_s": DRAIN_S,
    }
