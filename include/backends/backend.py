"""The contract of an inference server: all that differs between one and another. Hosts and revisions treat all alike.

A backend has no state and knows no host: a host says what surrounds a server (:class:`Place`), the backend answers how it is started there
(:class:`Launch`), and the host makes a process, a container or a pod of it.
"""

from __future__ import annotations

import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from include.errors import InputError
from include.runtime import web
from include.runtime.revision_key import HEADER
from include.runtime.settings import Settings
from include.spec.serve import Protocol, Serve

PROBE_S = 2.0
STOP_WAIT_S = 8.0
Laid = Mapping[str, Any]
"""What was laid out, as far as the server must be told of it: plain JSON."""


@dataclass(frozen=True)
class Place:
    """What surrounds a server, as the server itself sees it: in a container or a pod, paths are those inside.

    ``name``: the revision's, unlike any other's, of its content too. ``folder``: what was laid out for it (of a shared server: its home).
    ``host``, ``ports``: where it listens, in the order of :meth:`Backend.listens`. ``python``: its runtime's interpreter. ``code``: the
    folder that holds Updraft's ``include``. ``config``: the folder with the launch's files. ``scratch``: a folder that it may write to.
    ``inside``: it runs in an image; ``root``: where that has the server, if it is another image than Updraft's own. ``shared``: it serves
    several revisions. ``key``: what its port is to ask for, as header :data:`HEADER` ("": nothing). ``drain_s``: it must finish what it
    has begun for so long after it was told to end; None: whoever ends it has drained it at the gateway before. ``scraped``: others than
    Updraft read its metrics. ``traces``: the address that it sends its spans to ("": none).
    """

    model: str
    version: str
    name: str
    folder: Path
    host: str
    ports: tuple[int, ...]
    python: Path
    code: Path
    config: Path
    scratch: Path
    inside: bool = False
    root: Path | None = None
    shared: bool = False
    key: str = field(default="", repr=False)
    drain_s: float | None = None
    scraped: bool = False
    traces: str = ""

    @property
    def http(self) -> int:
        """The port that callers' requests go to."""
        return self.ports[0]

    @property
    def shown(self) -> dict[str, str]:
        """The headers of a request to that port."""
        return {HEADER: self.key} if self.key else {}

    @property
    def guard(self) -> dict[str, str]:
        """The same as Updraft's own server programs are told it: what nobody may come without."""
        return {"header": HEADER, "key": self.key} if self.key else {}


@dataclass(frozen=True)
class Probes:
    """Paths on the first port that are answered with 200: ``ready`` when this version takes requests, ``live`` while it need not be started
    anew."""

    ready: str
    live: str


@dataclass(frozen=True)
class Metrics:
    """Where Prometheus' text is read: a path on a port, by its name in :meth:`Backend.listens`. ``waiting`` is the figure of the requests
    that wait, by which the number of servers is chosen ("" where there is none)."""

    path: str = "/metrics"
    port: str = "http"
    waiting: str = ""


@dataclass(frozen=True)
class Stop:
    """How it is asked to end, and when it is killed: ``wait_s`` is longer than its own patience (seconds)."""

    signal: str = "TERM"
    wait_s: float = STOP_WAIT_S


@dataclass(frozen=True)
class Launch:
    """A server that can be started: ``files`` (name → text) are written to the place's ``config`` before. Without a ``command`` an image
    starts its own."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    probes: Probes
    files: Mapping[str, str] = field(default_factory=dict)
    metrics: Metrics | None = None
    stop: Stop = Stop()


class Backend(ABC):
    """One inference server: what it serves, what it needs on disk, how it is started, how it says that it is ready."""

    name: ClassVar[str]
    """As in the spec's ``serve.backend``."""
    title: ClassVar[str]
    """For people."""
    serves: ClassVar[tuple[type[Serve], ...]]
    """Its part of the spec, a class for each kind of models that it serves; :meth:`Serve.faults` says what is wrong in one."""
    keyless: ClassVar[bool] = False
    """Its server does not ask for the key itself: on this machine a guard (``backends/guard.py``) stands before it."""
    traced: ClassVar[bool] = False
    """Its server sends spans of its own, under the trace that a request comes with."""
    starts_inside: ClassVar[bool] = False
    """What stands before its server starts that anew when it has ended, without ending itself."""
    talks_to_itself: ClassVar[bool] = False
    """Its server listens for its own processes too, at ports that ask for nothing: on this machine it has a network of its own, guarded."""
    ports: ClassVar[tuple[str, ...]] = ("http",)
    """What it listens on, unless that depends on the spec: see :meth:`listens`."""
    causes: ClassVar[Sequence[re.Pattern[str]]] = ()
    """Lines of its log that say why it did not start, in the order of how much they tell."""

    @abstractmethod
    def runtime(self, serve: Serve) -> str:
        """The environment that it runs in: ``docker/<runtime>``."""

    def image(self, serve: Serve) -> str:
        """The container image that has the server; empty: that of its environment."""
        return ""

    @abstractmethod
    def protocol(self, serve: Serve) -> Protocol:
        """What callers speak."""

    def passes(self, serve: Serve) -> tuple[str, ...]:
        """Beginnings of the server's own paths that callers reach as they are, under ``/models/<name>``: an allow-list."""
        return ("/",) if self.protocol(serve) == "own" else ()

    def offers(self, bundle: Path, serve: Serve) -> tuple[str, ...] | None:
        """Which of :data:`include.gateway.openai.UNOFFERED` the server and the bundle's model can do; None: the server may refuse by
        itself."""
        return None

    def listens(self, serve: Serve) -> tuple[str, ...]:
        """Names of the ports that it listens on, the first of which callers' requests go to."""
        return self.ports

    def fixed_port(self, serve: Serve) -> int | None:
        """The first port, of a server that can't be told where to listen."""
        return None

    @abstractmethod
    def prepare(self, settings: Settings, serve: Serve) -> None:
        """ComponentError that names what is missing when this machine cannot run it as a process."""

    @abstractmethod
    def digest(self, bundle: Path) -> str:
        """Of all in the bundle that is served. InputError that names the file when the bundle is no good."""

    @abstractmethod
    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: Serve, params: Mapping[str, Any]) -> None:
        """What the server reads, at ``folder``, independent of the bundle from then on. What was there is replaced."""

    @abstractmethod
    def check(self, folder: Path, model: str, version: str) -> None:
        """InputError that names the file when what was laid out is no longer whole."""

    def reads(self, serve: Serve) -> Sequence[Path]:
        """What a server of this machine reads beside the runtimes and what was laid out for it."""
        return ()

    @abstractmethod
    def laid(self, folder: Path) -> Laid:
        """What was laid out at ``folder`` (of a shared server: at its home)."""

    @abstractmethod
    def planned(self, serve: Serve) -> Laid:
        """The same of a bundle that is not at hand, as far as the spec says it."""

    @abstractmethod
    def launch(self, laid: Laid, place: Place) -> Launch:
        """How it is started there. Nothing is looked at or written, but for where this machine has the server's program."""

    @abstractmethod
    def ready(self, url: str, place: Place, laid: Laid) -> bool:
        """Whether the server at ``url`` is the one that was started at ``place``, and answers requests for this very version now."""

    def fit(self, place: Place, environment: Mapping[str, str], settings: Settings, *, build: bool) -> None:
        """Make what was laid out suit the GPU that ``environment`` shows the server, before each of its starts.

        ``build``: it may take minutes. A GPU that does not suit is no error: the model is served in another way.
        """
        return

    def served(self, place: Place) -> str:
        """What :meth:`fit` has come to, in a sentence; "" where there is no choice."""
        return ""

    def needed_mib(self, bundle: Path, serve: Serve) -> float:
        """GPU memory that it needs for the bundle (MiB), where its part of the spec says that it can tell (``sizes_memory``)."""
        raise InputError("can't be told.", where="serve.resources.memory", remedy="Give a size such as `20GiB`.")

    def learn(self, folder: Path, serve: Serve, log: str, kept: Path) -> None:
        """Keep, in the folder ``kept``, what a server that has just become ready wrote into its ``log`` of the memory that it takes, for
        :meth:`needed_mib`. ``folder`` is what was laid out for it. Nothing that is wrong with a log is an error."""
        return

    def shared(self, bundle: Path, serve: Serve) -> str:
        """Name of the program that serves all revisions alike in what the server is started with; empty: each has a server of its own.

        It must begin with ``revision-`` and be no revision's own name.
        """
        return ""

    def lay_out_shared(self, home: Path, folder: Path) -> None:
        """What a shared server itself reads, at ``home``, from what was laid out for one of its revisions. What is there stays."""
        raise NotImplementedError

    def share(self, home: Path, members: Sequence[Place]) -> None:
        """Tell a shared server all revisions that it serves from now on; ``folder`` of each is what was laid out for it."""
        raise NotImplementedError

    def left(self, home: Path, member: Place) -> bool:
        """Whether a revision that a shared server was told to give up has finished its answers."""
        raise NotImplementedError

    def failure(self, folder: Path) -> str:
        """Why a shared server could not take the revision laid out at ``folder``; empty when it could, or has not tried yet."""
        return ""


def get(url: str, headers: Mapping[str, str] | None = None) -> bytes | None:
    """What a GET is answered with 200 within ``PROBE_S`` seconds; None when it is not."""
    try:
        answer = web.ask("GET", url, headers=headers, timeout=PROBE_S)
        return answer.content if answer.status_code == 200 else None
    except (OSError, ValueError):
        return None


def link(source: Path, target: Path) -> None:
    """The same file under a second name, a copy where that is not possible: models are large, and bundles are not written again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_folder(source: Path, target: Path) -> None:
    """A folder's files under a second name, hidden ones left out."""
    for path in source.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(source).parts):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            link(path, place)


def insist(folder: Path, names: Sequence[str]) -> None:
    """InputError that names the file when one of those in ``folder`` is missing or empty."""
    for name in names:
        path = folder / name
        if not path.is_file() or not path.stat().st_size:
            raise InputError("is missing or empty.", where=str(path), remedy="Deploy the version again.")
