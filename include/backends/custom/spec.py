"""The part of the spec of a server that is not Updraft's: how it is started, and what it speaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from include.spec.document import Fault
from include.spec.parts import Part
from include.spec.serve import LLM, TABLE, ChatServe, Protocol, Serve

FURTHER = ("port2", "port3")
PLACES = ("key", "model", "version", "folder", "code", "host", "port", "python", "scratch", "context", "parallel", *FURTHER)
"""What may stand in braces in a command, a value of the environment or a path."""
_BRACES = re.compile(r"\{([a-z]+\d?)\}")
UrlPath = Annotated[str, Field(pattern=r"^(/[^\s?#]*)?$", max_length=200)]


class HttpServer(Part):
    """What is said of a server of one's own, whatever kind of models it serves."""

    backend: Literal["custom"] = "custom"
    """Inference server of a revision."""
    command: tuple[Annotated[str, Field(max_length=2000)], ...] = ()
    """The server's command, a word each; of an image: its arguments. `{folder}` is where the bundle lies, `{code}` the model folder's code
    there, `{host}` and `{port}` where to listen, `{python}` the interpreter of `runtime`, `{scratch}` a folder to write to; `{model}` and
    `{version}` say whose revision it is, `{context}` and `{parallel}` what a language model's may be asked."""
    image: Annotated[str, Field(max_length=500)] = ""
    """A container image with the server (targets docker and kubernetes). Default: that of `runtime`, which has Python and its packages."""
    runtime: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")] = "trainer"
    """Environment that the command runs in: `docker/<runtime>/requirements.lock`."""
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], str] = Field(default_factory=dict)
    """Further environment variables, with the same in braces, and `{key}`: what the header `x-updraft-key` holds of whatever the platform
    and its gateway ask, by which the server may refuse other programs of its machine."""
    reads: tuple[Annotated[str, Field(pattern=r"^/", max_length=500)], ...] = ()
    """Folders of this machine that it reads besides (target process), such as the virtual environment that its program is in: a server sees
    what was laid out for it, Updraft's environments and the system's own folders alone."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Where it listens, if it can't be told: two versions then need a network each. Default: `{port}`, chosen for each revision."""
    further_ports: Annotated[int, Field(ge=0, le=2)] = 0
    """Ports that it opens besides (gRPC, figures): `{port2}` and `{port3}`."""
    protocol: Protocol = "kserve"
    """What callers speak: `kserve` (v2), `openai`, or the server's `own`, which is passed through under `/models/<name>/`."""
    health: UrlPath = ""
    """Answered with 200 while it takes requests. Default: `/v2/models/{model}/ready` for `kserve`, `/v1/models` for `openai`."""
    live: UrlPath = ""
    """Answered with 200 as long as it need not be started anew (target kubernetes). Default: `health`."""
    metrics: UrlPath = ""
    """Where Prometheus reads figures. Default: nowhere."""
    metrics_port: Literal["http", "port2", "port3"] = "http"
    """On which of its ports: `http` is that of callers' requests."""
    waiting: Annotated[str, Field(max_length=200)] = ""
    """The figure of the requests that wait, by which a cluster chooses how many servers there are. Default: always the same number."""
    stop_signal: Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"] = "TERM"
    """How it is asked to end."""
    stop_wait_s: Annotated[float, Field(gt=0, le=600)] = 10
    """It is killed this long after it was asked to end (seconds)."""

    @property
    def with_code(self) -> bool:
        return True

    def own_faults(self) -> Iterator[Fault]:
        """Everything that contradicts itself."""
        if not self.command and not self.image:
            yield ("serve", "command"), "is missing.", {"remedy": "Give the server's command, or an image that has it."}
        if self.protocol == "own" and not self.health:
            yield ("serve", "health"), "is missing.", {"remedy": "Name a path that is answered with 200 while the server takes requests."}
        if self.waiting and not self.metrics:
            yield ("serve", "waiting"), "is a figure of `metrics`, which is missing.", {"remedy": "Name the path of the figures."}
        if any("{key}" in word for word in self.command):
            yield ("serve", "command"), "holds `{key}`, and everybody can read a command.", {"remedy": "Pass it in `serve.environment`."}
        words = [*enumerate(self.command), *self.environment.items(), ("health", self.health), ("live", self.live)]
        unknown = sorted({place for _, text in words for place in _BRACES.findall(text)} - set(PLACES))
        if unknown:
            yield ("serve", "command"), f"nothing is called {{{unknown[0]}}}.", {"allowed": tuple(f"{{{place}}}" for place in PLACES)}
        for name in FURTHER[self.further_ports :]:
            if any(f"{{{name}}}" in text for _, text in words) or self.metrics_port == name:
                yield ("serve", "further_ports"), f"is {self.further_ports}: there is no {name}.", {"remedy": "Raise it."}
        told = any("{port}" in text for _, text in words)
        if self.port is None and not told:
            remedy = "Write `{port}` where the command or the environment says it, or name the port it has."
            yield ("serve", "port"), "the server is not told where to listen.", {"remedy": remedy}


class CustomServe(HttpServer, Serve):
    kind: ClassVar[str] = TABLE

    backend: Literal["custom"] = "custom"
    """Inference server of a revision."""

    def faults(self, spec: object) -> Iterator[Fault]:
        yield from self.own_faults()


class CustomChatServe(HttpServer, ChatServe):
    kind: ClassVar[str] = LLM

    backend: Literal["custom"] = "custom"
    """Inference server of a revision."""
    protocol: Protocol = "openai"
    """What callers speak: `openai`, or the server's `own`, which is passed through under `/models/<name>/`."""
    form: Literal["model", "gguf"] = "model"
    """What the server reads, in 16 bits: a Hugging Face folder (`{folder}/model`), or a GGUF file (`{folder}/model.gguf`)."""

    def faults(self, spec: object) -> Iterator[Fault]:
        yield from self.own_faults()
        if self.protocol == "kserve":
            what = "a language model's golden prompts are asked by OpenAI's API."
            yield ("serve", "protocol"), what, {"remedy": "Serve it by `openai`, or pass its `own` through."}
