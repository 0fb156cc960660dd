"""llama.cpp as a backend: one process with a GGUF model behind OpenAI's API."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from include.backends.backend import Laid, Launch, Metrics, Place, Probes, get
from include.backends.chat import Forms, Wanted
from include.backends.client import ChatServer, Messages
from include.backends.gguf import GgufBackend
from include.backends.llamacpp.spec import LlamaCppServe
from include.bundles.chat import F16, GGUF, ChatBundle
from include.errors import ComponentError
from include.runtime.settings import Settings
from include.spec.serve import ChatServe, Serve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SERVER = "include/backends/llamacpp/server.py"
CONFIG = "server.json"


class LlamaCpp(GgufBackend):
    name = "llamacpp"
    title = "llama.cpp"
    serves = (LlamaCppServe,)
    causes = (
        re.compile(r"(gguf_init\w+: .*)$"),
        re.compile(r"error loading model: (.*)$"),
        re.compile(r"(couldn't bind HTTP server socket.*)$"),
    )

    def runtime(self, serve: Serve) -> str:
        return "llm"

    def prepare(self, settings: Settings, serve: Serve) -> None:
        python = settings.python(self.runtime(serve))
        if not any((python.parent.parent / "lib").glob("python*/site-packages/xllamacpp")):
            raise ComponentError("the llm runtime is not installed.", where=str(python), remedy="Run `make install-llm`.")

    def offers(self, bundle: Path, serve: Serve) -> tuple[str, ...]:
        return ("tools",) if ChatBundle.read(bundle, GGUF).tools else ()

    def planned(self, serve: Serve) -> Laid:
        assert isinstance(serve, ChatServe)
        return {"context": serve.context, "parallel": serve.parallel, "threads": serve.threads}

    def launch(self, laid: Laid, place: Place) -> Launch:
        options = {**laid, "model": str(place.folder / GGUF), "alias": place.model, "host": place.host, "port": place.http}
        if place.key:
            options |= {"guard": place.guard, "scratch": str(place.scratch)}
        return Launch(
            command=(str(place.python), "-P", str(place.code / SERVER), str(place.config / CONFIG)),
            environment={"PATH": f"{place.python.parent}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            files={CONFIG: json.dumps(options, indent=1)},
            probes=Probes(ready="/health", live="/health"),
            metrics=Metrics(waiting="llamacpp:requests_deferred"),
        )

    def ready(self, url: str, place: Place, laid: Laid) -> bool:
        # /health says 200 for any server that took this port first.
        answer = get(f"{url}/props", place.shown)
        return answer is not None and json.loads(answer).get("model_path") == str(place.folder / GGUF)

    def compare_base(self, folder: Path, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], serve: ChatServe) -> str:
        from include.backends.llamacpp.client import compare_base

        return compare_base(folder, tokenizer, prompts)

    def make_forms(self, wanted: Wanted, serve: ChatServe) -> Forms:
        from include.bundles import gguf
        from include.data import chats

        files = gguf.write(wanted.model, (F16, *wanted.methods), wanted.out)
        for form, file in files.items():
            print(f"{form}: {file.stat().st_size:,} bytes", flush=True)
        with self.asked(files[F16], serve.model_copy(update={"parallel": 1}), serve.context) as server:
            server.check_prompts(wanted.model, [row.prompt for row in chats.table(wanted.table, "eval")])
        return Forms(files, {})

    def asked(self, model: Path, serve: ChatServe, context: int) -> AbstractContextManager[ChatServer]:
        from include.backends.llamacpp.client import served

        return served(model, context, serve.parallel, serve.threads)
