"""Any HTTP server as a backend: started by the spec's command or from its image, believed when it says that it is ready."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from include.backends.backend import Laid, Launch, Metrics, Place, Probes, Stop, get, insist, link_folder
from include.backends.chat import ChatBackend, Forms, Wanted
from include.backends.client import ChatServer, launched
from include.backends.custom.spec import FURTHER, CustomChatServe, CustomServe, HttpServer
from include.bundles.chat import BF16, F16, FOLDER, GGUF, ChatBundle
from include.bundles.table import Bundle
from include.errors import ComponentError
from include.estimate.tensors import Tensor
from include.runtime.settings import Settings
from include.spec.serve import ChatServe, Protocol, Serve

OPTIONS = "custom.json"
NOT_SERVED = ("serve.json", "optimization.json", OPTIONS)
"""Files of a bundle that say nothing of what is served."""
READY: dict[Protocol, str] = {"kserve": "/v2/models/{model}/ready", "openai": "/v1/models", "own": "/"}
TOLD = ("command", "environment", "health", "live", "metrics", "metrics_port", "waiting", "stop_signal", "stop_wait_s", "protocol")

CHATS = ("context", "parallel")
"""What only a language model's server can be told."""


class Custom(ChatBackend):
    name = "custom"
    title = "the server"
    serves = (CustomServe, CustomChatServe)
    in_turn = True
    keyless = True
    causes = (
        re.compile(r"^((?:\w+\.)*\w*(?:Error|Exception): .*)$"),
        re.compile(r"\b(?:ERROR|FATAL|CRITICAL)\b\W*(.*)$"),
    )

    def runtime(self, serve: Serve) -> str:
        return _own(serve).runtime

    def image(self, serve: Serve) -> str:
        return _own(serve).image

    def protocol(self, serve: Serve) -> Protocol:
        return _own(serve).protocol

    def reads(self, serve: Serve) -> Sequence[Path]:
        return [Path(folder) for folder in _own(serve).reads]

    def listens(self, serve: Serve) -> tuple[str, ...]:
        return ("http", *FURTHER[: _own(serve).further_ports])

    def fixed_port(self, serve: Serve) -> int | None:
        return _own(serve).port

    def prepare(self, settings: Settings, serve: Serve) -> None:
        own, python = _own(serve), settings.python(_own(serve).runtime)
        if own.image or not own.command:
            remedy = "Write `target: docker` or `target: kubernetes`, or give `serve.command` alone."
            raise ComponentError("a container image is no process of this machine.", where="serve.image", remedy=remedy)
        if any("{python}" in word for word in own.command) and not python.exists():
            remedy = f"Run `make install-{own.runtime}`."
            raise ComponentError(f"runtime {own.runtime} is not installed.", where=str(python), remedy=remedy)
        program = own.command[0].replace("{python}", str(python))
        if "{" not in program and shutil.which(program, path=_path(python)) is None:
            remedy = "Install it, or name its whole path in `serve.command`."
            raise ComponentError(f"there is no program {program!r:.200} on this machine.", where="serve.command", remedy=remedy)

    def digest(self, bundle: Path) -> str:
        """Of every file of the bundle but those that say how it came to be; the model's code is among them."""
        _ = Bundle.read(bundle) if (bundle / "signature.json").exists() else ChatBundle.read(bundle)
        whole = hashlib.sha256()
        for path in sorted(path for path in bundle.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            name = str(path.relative_to(bundle))
            if name not in NOT_SERVED:
                with path.open("rb") as file:
                    whole.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
        return whole.hexdigest()

    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: Serve, params: Mapping[str, Any]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        link_folder(bundle, folder)
        (folder / OPTIONS).write_text(json.dumps(self.planned(serve)))

    def check(self, folder: Path, model: str, version: str) -> None:
        insist(folder, (OPTIONS,))

    def laid(self, folder: Path) -> Laid:
        found: Laid = json.loads((folder / OPTIONS).read_text())
        return found

    def planned(self, serve: Serve) -> Laid:
        found: Laid = _own(serve).model_dump(mode="json", include={*TOLD, *CHATS})
        return found

    def launch(self, laid: Laid, place: Place) -> Launch:
        health = laid["health"] or READY[laid["protocol"]]
        path = {"PATH": _path(place.python), "HOME": str(place.scratch), "PYTHONDONTWRITEBYTECODE": "1"}
        return Launch(
            command=tuple(_filled(word, place, laid) for word in laid["command"]),
            environment=path | {name: _filled(value, place, laid) for name, value in laid["environment"].items()},
            probes=Probes(ready=_filled(health, place, laid), live=_filled(laid["live"] or health, place, laid)),
            metrics=Metrics(laid["metrics"], laid["metrics_port"], laid["waiting"]) if laid["metrics"] else None,
            stop=Stop(laid["stop_signal"], laid["stop_wait_s"]),
        )

    def ready(self, url: str, place: Place, laid: Laid) -> bool:
        if get(url + self.launch(laid, place).probes.ready, place.shown) is None:
            return False
        # A server that took this port first may say that it is well, and serve another model.
        if laid["protocol"] == "own":
            return True
        found = get(url + READY[laid["protocol"]].format(model=place.model), place.shown)
        return found is not None and (laid["protocol"] == "kserve" or _lists(found, place.model))

    def check_base(self, folder: Path, tensors: Sequence[Tensor], serve: ChatServe, methods: Sequence[str], rank: int) -> None:
        if _chat(serve).form == "gguf":
            from include.bundles import gguf, tokenizer

            gguf.check(folder, tokenizer.load(folder, normalises=False))

    def normalises(self, serve: ChatServe) -> bool:
        return _chat(serve).form != "gguf"

    def make_forms(self, wanted: Wanted, serve: ChatServe) -> Forms:
        if _chat(serve).form == "gguf":
            from include.bundles import gguf

            return Forms(gguf.write(wanted.model, (F16,), wanted.out), {})
        link_folder(wanted.model, wanted.out / BF16)
        return Forms({BF16: wanted.out / BF16}, {})

    def asked(self, model: Path, serve: ChatServe, context: int) -> AbstractContextManager[ChatServer]:
        own = _chat(serve)
        name = GGUF if model.is_file() else FOLDER
        return launched(self, own.model_copy(update={"context": context}), {name: model})


def _own(serve: Serve) -> HttpServer:
    assert isinstance(serve, HttpServer)
    return serve


def _chat(serve: Serve) -> CustomChatServe:
    assert isinstance(serve, CustomChatServe)
    return serve


def _path(python: Path) -> str:
    return f"{python.parent}:/usr/local/bin:/usr/bin:/bin"


def _filled(text: str, place: Place, laid: Laid) -> str:
    """With what the spec has in braces."""
    known = {name: str(laid[name]) for name in CHATS if name in laid} | {
        "model": place.model,
        "version": place.version,
        "folder": str(place.folder),
        "code": str(place.folder / "code"),
        "host": place.host,
        "port": str(place.http),
        "python": str(place.python),
        "scratch": str(place.scratch),
        "key": place.key,
    }
    known |= {name: str(port) for name, port in zip(FURTHER, place.ports[1:], strict=False)}
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _lists(models: bytes, name: str) -> bool:
    """Whether a server that answers ``GET /v1/models`` so knows the model by this name, which callers use."""
    try:
        return any(one["id"] == name for one in json.loads(models)["data"])
    except (ValueError, KeyError, TypeError):
        return False
