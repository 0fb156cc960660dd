"""llama.cpp as an engine: one process with a GGUF model behind OpenAI's API."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include import atomic
from include.backends.backend import AnyServe, Backend, get, link
from include.bundles.chat import GGUF, ChatBundle
from include.errors import ComponentError, InputError
from include.serving.revision import Revision
from include.spec.llm import LlmServe

SERVER = Path(__file__).with_name("server.py")


class LlamaCpp(Backend):
    name = "llamacpp"
    runtime = "llm"
    ports = 1
    causes = (
        re.compile(r"(gguf_init\w+: .*)$"),
        re.compile(r"error loading model: (.*)$"),
        re.compile(r"(couldn't bind HTTP server socket.*)$"),
    )

    def prepare(self) -> None:
        python = self._settings.python("llm")
        if not any((python.parent.parent / "lib").glob("python*/site-packages/xllamacpp")):
            raise ComponentError("the llm runtime is not installed.", where=str(python), remedy="Run `make install-llm`.")

    def digest(self, bundle: Path) -> str:
        return ChatBundle.read(bundle, GGUF).digest()

    def offers(self, bundle: Path, serve: AnyServe) -> tuple[str, ...]:
        return ("tools",) if ChatBundle.read(bundle, GGUF).tools else ()

    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: AnyServe, params: Mapping[str, Any]) -> None:
        assert isinstance(serve, LlmServe)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        link(bundle / GGUF, folder / GGUF)
        options = {"context": serve.context, "parallel": serve.parallel, "threads": serve.threads}
        (folder / "options.json").write_text(json.dumps(options))

    def check(self, folder: Path, model: str, version: str) -> None:
        for name in (GGUF, "options.json"):
            path = folder / name
            if not path.is_file() or not path.stat().st_size:
                raise InputError("is missing or empty.", where=str(path), remedy="Deploy the version again.")

    def command(self, revision: Revision, folder: Path, python: Path | None = None) -> tuple[tuple[str, ...], dict[str, str]]:
        options = json.loads((folder / "options.json").read_text())
        place = {"model": str(folder / GGUF), "alias": revision.model, "host": revision.host, "port": revision.http_port}
        config = folder / "server.json"
        atomic.write(config, json.dumps(options | place, indent=1))
        python = python or self._settings.python("llm")
        return (str(python), "-P", str(SERVER), str(config)), {"PATH": f"{python.parent}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}

    def ready(self, revision: Revision, folder: Path) -> bool:
        # /health says 200 for any server that took this port first.
        answer = get(f"{revision.url}/props")
        return answer is not None and json.loads(answer).get("model_path") == str(folder / GGUF)
