"""vLLM as an engine: one server with a Hugging Face model behind OpenAI's API, or with a base and the adapters of several revisions.

The home of a shared server holds the base (``model``), ``options.json`` and what :mod:`include.backends.vllm.server` is told
(``adapters.json``) and says (``adapters.served``).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include import atomic
from include.backends.backend import AnyServe, Backend, get, link
from include.backends.vllm import model as vllm_model
from include.bundles.adapter import FILES, Adapter, is_adapter
from include.bundles.chat import ADAPTER, FOLDER, ChatBundle, form
from include.errors import ComponentError, InputError
from include.serving.revision import Revision
from include.spec.llm import LlmServe
from include.spec.vllm import LORAS

SERVER = Path(__file__).with_name("server.py")
OPTIONS, ADAPTERS, ERROR = "options.json", "adapters.json", "error.txt"
OFFERED = ("choices", "developer", "echo", "logprobs")
BASE = "base"
"""What a shared server calls its base: no caller asks for it."""
DRAIN_S = 10
"""Answers under way when it is told to end may go on for this long; whoever stops a revision has drained it at the gateway before."""


class Vllm(Backend):
    name = "vllm"
    runtime = "vllm"
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
        return ChatBundle.read(bundle, ADAPTER if form(bundle) == ADAPTER else FOLDER).digest()

    def offers(self, bundle: Path, serve: AnyServe) -> tuple[str, ...]:
        assert isinstance(serve, LlmServe)
        pooled = serve.arguments.get("runner") == "pooling"
        known = ChatBundle.read(bundle, ADAPTER if form(bundle) == ADAPTER else FOLDER)
        return (*OFFERED, *(["tools"] if known.tools else []), *(["embeddings"] if pooled else []))

    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: AnyServe, params: Mapping[str, Any]) -> None:
        """InputError too when the model can't be served so: the heads don't divide, or the memory does not suffice."""
        assert isinstance(serve, LlmServe)
        own, served = (ADAPTER, bundle / ADAPTER) if form(bundle) == ADAPTER else (FOLDER, bundle / FOLDER)
        if own == ADAPTER:
            adapter = Adapter.read(served)
            adapter.check(vllm_model.highest_rank(serve))
            served = adapter.base
        vllm_model.check(served, serve)
        shutil.rmtree(folder, ignore_errors=True)
        _link(bundle / own, folder / own)
        (folder / OPTIONS).write_text(json.dumps(options(served, serve)))

    def shared(self, bundle: Path, serve: AnyServe) -> str:
        assert isinstance(serve, LlmServe)
        return server(bundle, serve)

    def lay_out_shared(self, home: Path, folder: Path) -> None:
        """InputError when the base is another than the adapter was trained on."""
        if (home / OPTIONS).exists():
            return
        adapter = Adapter.read(folder / ADAPTER)
        adapter.check_base()
        shutil.rmtree(home / FOLDER, ignore_errors=True)
        _link(adapter.base, home / FOLDER)
        atomic.write(home / OPTIONS, (folder / OPTIONS).read_text())

    def share(self, home: Path, members: Sequence[tuple[Revision, Path]]) -> None:
        known = [
            {
                "name": f"{revision.name}-{revision.digest[:12]}",
                "alias": revision.model,
                "host": revision.host,
                "port": revision.http_port,
                "path": str(folder / ADAPTER),
                "error": str(folder / ERROR),
            }
            for revision, folder in members
        ]
        atomic.write(home / ADAPTERS, json.dumps(known, indent=1))

    def left(self, home: Path, revision: Revision) -> bool:
        try:
            told = json.loads((home / ADAPTERS).with_suffix(".served").read_text())
        except (OSError, ValueError):
            return True  # it has served nobody yet
        return not Path(f"/proc/{told['process']}").exists() or f"{revision.name}-{revision.digest[:12]}" not in told["names"]

    def failure(self, folder: Path) -> str:
        try:
            return (folder / ERROR).read_text()
        except OSError:
            return ""

    def check(self, folder: Path, model: str, version: str) -> None:
        own = [ADAPTER + "/" + name for name in FILES] if is_adapter(folder / ADAPTER) else [f"{FOLDER}/config.json"]
        for path in (*(folder / name for name in own), folder / OPTIONS):
            if not path.is_file() or not path.stat().st_size:
                raise InputError("is missing or empty.", where=str(path), remedy="Deploy the version again.")

    def command(self, revision: Revision, folder: Path, python: Path | None = None) -> tuple[tuple[str, ...], dict[str, str]]:
        known = json.loads((folder / OPTIONS).read_text())
        place = {"model": str(folder / FOLDER), "alias": revision.model, "host": revision.host, "port": revision.http_port}
        if revision.shared:
            place |= {"alias": BASE, "port": 0, "adapters": str(folder / ADAPTERS)}
        config = folder / "server.json"
        atomic.write(config, json.dumps(known | place, indent=1))
        python = python or self._settings.python("vllm")
        environment = {"PATH": f"{python.parent}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "VLLM_CACHE_ROOT": str(folder / "cache")}
        return (str(python), "-P", str(SERVER), str(config)), environment

    def ready(self, revision: Revision, folder: Path) -> bool:
        # /health says 200 for any server that took this port first.
        return get(f"{revision.url}/health") is not None and serves(
            get(f"{revision.url}/v1/models"), folder / (ADAPTER if revision.shared else FOLDER)
        )


def serves(models: bytes | None, folder: Path) -> bool:
    """Whether a server that answers ``GET /v1/models`` so serves the model in this folder."""
    try:
        return any(one["root"] == str(folder) for one in json.loads(models or b"{}")["data"])
    except (ValueError, KeyError, TypeError):
        return False


def server(bundle: Path, serve: LlmServe) -> str:
    """Name of the server that serves a bundle's adapter: the same for the same base, options and GPU; empty when it holds none."""
    if form(bundle) != ADAPTER:
        return ""
    adapter = Adapter.read(bundle / ADAPTER)
    wanted = serve.resources.model_dump(mode="json") if serve.resources else None
    told = json.dumps([adapter.digest, options(adapter.base, serve), wanted], sort_keys=True)
    return f"revision-base-b{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _link(source: Path, target: Path) -> None:
    """A folder's files under a second name."""
    for path in source.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(source).parts):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            link(path, place)


def options(model: Path, serve: LlmServe) -> dict[str, Any]:
    """What the server is told beside where it listens; of adapters, ``model`` is the base."""
    return {
        "context": serve.context,
        "parallel": serve.parallel,
        "threads": serve.threads,
        "arguments": ({"max-loras": LORAS} if serve.adapters else {}) | serve.arguments,
        "cache_gib": vllm_model.cache_gib(model, serve),
        "drain_s": DRAIN_S,
    }
