"""vLLM as a backend: one server with a Hugging Face model behind OpenAI's API, or with a base and the adapters of several revisions.

The home of a shared server holds the base (``model``), ``options.json`` and what :mod:`include.backends.vllm.server` is told
(``adapters.json``) and says (``adapters.served``).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import atomic
from include.backends.backend import Laid, Launch, Metrics, Place, Probes, Stop, get, insist, link_folder
from include.backends.chat import ChatBackend, Forms, Wanted
from include.backends.client import ChatServer, Messages
from include.backends.vllm import model as vllm_model
from include.backends.vllm.spec import LORAS, VllmServe
from include.bundles.adapter import FILES, Adapter, is_adapter
from include.bundles.chat import ADAPTER, FOLDER, ChatBundle, form
from include.errors import ComponentError, InputError
from include.estimate.tensors import Tensor
from include.runtime.settings import Settings
from include.spec.serve import ChatServe, Serve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SERVER = "include/backends/vllm/server.py"
OPTIONS, CONFIG, ADAPTERS, ERROR = "options.json", "server.json", "adapters.json", "error.txt"
OFFERED = ("choices", "developer", "echo", "logprobs")
"""What it can do whatever the model."""
BASE = "base"
"""What a shared server calls its base: no caller asks for it."""
DRAIN_S = 10
"""Answers under way when it is told to end may go on for this long; whoever stops a revision has drained it at the gateway before."""


class Vllm(ChatBackend):
    name = "vllm"
    title = "vLLM"
    serves = (VllmServe,)
    in_turn = True
    talks_to_itself = True  # torch's store and gloo's sockets
    causes = (
        # Not within a warning's `quotes`.
        re.compile(r"(?<![`\w])((?:\w*SafetensorError|OSError|OutOfMemoryError|MemoryError|ZMQError): .*)$"),
        re.compile(r"Value error, (.*?)(?: \[type=.*)?$"),
        re.compile(r"vllm: error: (.*)$"),
        re.compile(r"(?<![`\w])((?:ValueError|RuntimeError|KeyError|AssertionError|ImportError|ModuleNotFoundError): .*)$"),
    )

    def runtime(self, serve: Serve) -> str:
        return "vllm"

    def prepare(self, settings: Settings, serve: Serve) -> None:
        python = settings.python(self.runtime(serve))
        if not any((python.parent.parent / "lib").glob("python*/site-packages/vllm")):
            raise ComponentError("the vllm runtime is not installed.", where=str(python), remedy="Run `make install-vllm`.")

    def digest(self, bundle: Path) -> str:
        return ChatBundle.read(bundle, ADAPTER if form(bundle) == ADAPTER else FOLDER).digest()

    def offers(self, bundle: Path, serve: Serve) -> tuple[str, ...]:
        assert isinstance(serve, VllmServe)
        pooled = serve.arguments.get("runner") == "pooling"
        known = ChatBundle.read(bundle, ADAPTER if form(bundle) == ADAPTER else FOLDER)
        return (*OFFERED, *(["tools"] if known.tools else []), *(["embeddings"] if pooled else []))

    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: Serve, params: Mapping[str, Any]) -> None:
        """InputError too when the model can't be served so: the heads don't divide, or the memory does not suffice."""
        assert isinstance(serve, VllmServe)
        own, served = (ADAPTER, bundle / ADAPTER) if form(bundle) == ADAPTER else (FOLDER, bundle / FOLDER)
        if own == ADAPTER:
            adapter = Adapter.read(served)
            adapter.check(serve.highest_rank)
            served = adapter.base
        vllm_model.check(served, serve)
        shutil.rmtree(folder, ignore_errors=True)
        link_folder(bundle / own, folder / own)
        (folder / OPTIONS).write_text(json.dumps(options(served, serve)))

    def check(self, folder: Path, model: str, version: str) -> None:
        own = [f"{ADAPTER}/{name}" for name in FILES] if is_adapter(folder / ADAPTER) else [f"{FOLDER}/config.json"]
        insist(folder, (*own, OPTIONS))

    def laid(self, folder: Path) -> Laid:
        found: Laid = json.loads((folder / OPTIONS).read_text())
        return found

    def planned(self, serve: Serve) -> Laid:
        """InputError for adapters: the base that they share is not in the spec."""
        assert isinstance(serve, VllmServe)
        if serve.adapters:
            remedy = "Set it to false: the adapter is merged into a model of its own."
            raise InputError("adapters on a shared server are not rendered.", where="model.yaml: serve.adapters", remedy=remedy)
        return _told(serve)

    def launch(self, laid: Laid, place: Place) -> Launch:
        own: Laid = {"alias": place.model, "port": place.http, "guard": place.guard}
        if place.shared:  # its adapters listen, each with a key of its own
            own = {"alias": BASE, "adapters": str(place.folder / ADAPTERS), "scratch": str(place.scratch)}
        config = {**laid, "model": str(place.folder / FOLDER), "host": place.host, **own}
        environment = {"PATH": f"{place.python.parent}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        return Launch(
            command=(str(place.python), "-P", str(place.code / SERVER), str(place.config / CONFIG)),
            environment=environment | {"VLLM_CACHE_ROOT": str(place.scratch / "cache")},
            files={CONFIG: json.dumps(config, indent=1)},
            probes=Probes(ready="/health", live="/health"),
            metrics=Metrics(waiting="vllm:num_requests_waiting"),
            stop=Stop(wait_s=DRAIN_S + 20),
        )

    def ready(self, url: str, place: Place, laid: Laid) -> bool:
        # /health says 200 for any server that took this port first.
        served = place.folder / (ADAPTER if place.shared else FOLDER)
        return get(f"{url}/health") is not None and lists(get(f"{url}/v1/models", place.shown), served)

    def needed_mib(self, bundle: Path, serve: Serve) -> float:
        """For the model, its context and conversations; for an adapter, the base with room for all adapters."""
        assert isinstance(serve, VllmServe)
        model = Adapter.read(bundle / ADAPTER).base if form(bundle) == ADAPTER else bundle / FOLDER
        return vllm_model.needed_mib(model, serve, Settings.load().observations)

    def learn(self, folder: Path, serve: Serve, log: str, kept: Path) -> None:
        assert isinstance(serve, VllmServe)
        model = Adapter.read(folder / ADAPTER).base if is_adapter(folder / ADAPTER) else folder / FOLDER
        vllm_model.learn(model, serve, log, kept)

    def shared(self, bundle: Path, serve: Serve) -> str:
        """The same for the same base, options and GPU; empty for a bundle that holds no adapter."""
        assert isinstance(serve, VllmServe)
        if form(bundle) != ADAPTER:
            return ""
        adapter = Adapter.read(bundle / ADAPTER)
        wanted = serve.resources.model_dump(mode="json") if serve.resources else None
        told = json.dumps([adapter.digest, options(adapter.base, serve), wanted], sort_keys=True)
        return f"revision-base-b{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def lay_out_shared(self, home: Path, folder: Path) -> None:
        """InputError when the base is another than the adapter was trained on."""
        if (home / OPTIONS).exists():
            return
        adapter = Adapter.read(folder / ADAPTER)
        adapter.check_base()
        shutil.rmtree(home / FOLDER, ignore_errors=True)
        link_folder(adapter.base, home / FOLDER)
        atomic.write(home / OPTIONS, (folder / OPTIONS).read_text())

    def share(self, home: Path, members: Sequence[Place]) -> None:
        known = [
            {
                "name": member.name,
                "alias": member.model,
                "host": member.host,
                "port": member.http,
                "path": str(member.folder / ADAPTER),
                "error": str(member.folder / ERROR),
                "guard": member.guard,
            }
            for member in members
        ]
        atomic.write(home / ADAPTERS, json.dumps(known, indent=1))

    def left(self, home: Path, member: Place) -> bool:
        try:
            told = json.loads((home / ADAPTERS).with_suffix(".served").read_text())
        except (OSError, ValueError):
            return True  # it has served nobody yet
        return not Path(f"/proc/{told['process']}").exists() or member.name not in told["names"]

    def failure(self, folder: Path) -> str:
        try:
            return (folder / ERROR).read_text()
        except OSError:
            return ""

    def check_base(self, folder: Path, tensors: Sequence[Tensor], serve: ChatServe, methods: Sequence[str], rank: int) -> None:
        from include.backends.vllm import compress

        assert isinstance(serve, VllmServe)
        if serve.adapters and rank > serve.highest_rank:
            what, remedy = (
                f"is {rank}, and the server takes adapters of rank {serve.highest_rank} at most.",
                "serve.arguments.max-lora-rank",
            )
            raise InputError(what, where="lora_rank", remedy=f"Lower it, or raise `{remedy}`.")
        vllm_model.check(folder, serve)
        compress.check(tensors, methods)

    def compare_base(self, folder: Path, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], serve: ChatServe) -> str:
        from include.backends.vllm.client import compare_base

        assert isinstance(serve, VllmServe)
        # A model that was trained keeps its own template; adapters are served on the base, by the base's.
        return compare_base(folder, tokenizer, None if serve.adapters else str(tokenizer.chat_template), prompts)

    def make_forms(self, wanted: Wanted, serve: ChatServe) -> Forms:
        """The server takes long to start: that it reads prompts rightly is found out when it is up to be compared."""
        from include.backends.vllm import compress

        return compress.make(wanted)

    def asked(self, model: Path, serve: ChatServe, context: int) -> AbstractContextManager[ChatServer]:
        from include.backends.vllm.client import served

        assert isinstance(serve, VllmServe)
        return served(model, serve.model_copy(update={"context": context}))


def lists(models: bytes | None, folder: Path) -> bool:
    """Whether a server that answers ``GET /v1/models`` so serves the model in this folder."""
    try:
        return any(one["root"] == str(folder) for one in json.loads(models or b"{}")["data"])
    except (ValueError, KeyError, TypeError):
        return False


def options(model: Path, serve: VllmServe) -> dict[str, Any]:
    """What the server is told beside where it listens; of adapters, ``model`` is the base."""
    return _told(serve) | {"cache_gib": vllm_model.cache_gib(model, serve)}


def _told(serve: VllmServe) -> dict[str, Any]:
    return {
        "context": serve.context,
        "parallel": serve.parallel,
        "threads": serve.threads,
        "arguments": ({"max-loras": LORAS} if serve.adapters else {}) | serve.arguments,
        "drain_s": DRAIN_S,
    }
