"""Ollama as a backend: one server a revision, with a model that is made of the bundle's GGUF file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from include.backends.backend import Laid, Launch, Place, Probes, Stop, get
from include.backends.chat import Forms, Wanted
from include.backends.client import ChatServer, launched
from include.backends.gguf import GgufBackend
from include.backends.ollama.spec import OllamaServe
from include.bundles.chat import F16, GGUF
from include.errors import ComponentError
from include.runtime.settings import Settings
from include.spec.serve import ChatServe, Serve

SERVER = "include/backends/ollama/server.py"
CONFIG, STORE = "server.json", "ollama"
PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
NATIVE = ("/api/chat", "/api/generate", "/api/embed", "/api/tags", "/api/show", "/api/ps", "/api/version")
"""What its own clients may ask: nothing that makes, fetches or deletes a model."""


class Ollama(GgufBackend):
    name = "ollama"
    title = "Ollama"
    keyless = True
    serves = (OllamaServe,)
    causes = (
        re.compile(r"^ollama: (.*)$"),
        re.compile(r"error loading model: (.*)$"),
        re.compile(r"^Error: (.*)$"),
    )

    def runtime(self, serve: Serve) -> str:
        return "ollama"

    def passes(self, serve: Serve) -> tuple[str, ...]:
        return NATIVE

    def prepare(self, settings: Settings, serve: Serve) -> None:
        python = settings.python(self.runtime(serve))
        if not python.exists():
            raise ComponentError("runtime ollama is not installed.", where=str(python), remedy="Run `make install-ollama`.")
        if shutil.which("ollama", path=PROGRAMS) is None:
            remedy = "Install Ollama (https://ollama.com/download), or write `target: docker`."
            raise ComponentError("there is no program `ollama` on this machine.", where=PROGRAMS, remedy=remedy)

    def reads(self, serve: Serve) -> Sequence[Path]:
        return (Path("/usr/local/lib/ollama"),)

    def planned(self, serve: Serve) -> Laid:
        assert isinstance(serve, OllamaServe)
        names = {"context", "parallel", "threads", "template", "system", "keep_alive_s"}
        found: Laid = serve.model_dump(mode="json", include=names)
        return found

    def launch(self, laid: Laid, place: Place) -> Launch:
        own = {"gguf": str(place.folder / GGUF), "store": str(place.scratch / STORE), "alias": place.model, "tag": place.name}
        path = f"/v1/models/{place.model}"
        return Launch(
            command=(str(place.python), "-P", str(place.code / SERVER), str(place.config / CONFIG)),
            environment={"PATH": f"{place.python.parent}:{PROGRAMS}", "HOME": str(place.scratch), "PYTHONDONTWRITEBYTECODE": "1"},
            files={CONFIG: json.dumps({**laid, **own, "host": place.host, "port": place.http}, indent=1)},
            probes=Probes(ready=path, live="/api/version"),
            stop=Stop(wait_s=20),
        )

    def ready(self, url: str, place: Place, laid: Laid) -> bool:
        # Another version's server may have taken this port: the tag is this revision's own.
        if get(f"{url}/v1/models/{place.model}", place.shown) is None or (tags := get(f"{url}/api/tags", place.shown)) is None:
            return False
        return any(known["name"] == f"{place.model}:{place.name}" for known in json.loads(tags)["models"])

    def make_forms(self, wanted: Wanted, serve: ChatServe) -> Forms:
        """Ollama does not tell how it reads a prompt: a template taken for another shows in its answers, which `verify` compares."""
        from include.bundles import gguf

        return Forms(gguf.write(wanted.model, (F16, *wanted.methods), wanted.out), {})

    def asked(self, model: Path, serve: ChatServe, context: int) -> AbstractContextManager[ChatServer]:
        return launched(self, serve.model_copy(update={"context": context}), {GGUF: model})
