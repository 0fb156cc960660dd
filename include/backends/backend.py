"""What differs between inference servers; :class:`include.serving.revisions.Revisions` does the rest alike for all."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from include.runtime.settings import Settings
from include.serving.revision import Revision
from include.spec.llm import LlmServe
from include.spec.schema import Serve

PROBE_S = 2.0
STOP_WAIT_S = 8.0
AnyServe = Serve | LlmServe


class Backend(ABC):
    """One inference server: what it needs on disk, how it is started, how it says that it is ready."""

    name: ClassVar[str]
    """As in the spec's ``serve.backend``."""
    runtime: ClassVar[str]
    """What it runs in."""
    ports: ClassVar[int]
    """How many it listens on; the first one speaks HTTP."""
    causes: ClassVar[Sequence[re.Pattern[str]]]
    """Lines of its log that say why it did not start, in the order of how much they tell."""

    stop_wait_s: ClassVar[float] = STOP_WAIT_S
    """supervisord kills a server this long after it was asked to end (longer than the engine's own patience)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @abstractmethod
    def prepare(self) -> None:
        """ComponentError that names what is missing when this machine cannot run it."""

    @abstractmethod
    def digest(self, bundle: Path) -> str:
        """Of all in the bundle that is served. InputError that names the file when the bundle is no good."""

    def offers(self, bundle: Path, serve: AnyServe) -> tuple[str, ...] | None:
        """Which of :data:`include.gateway.openai.UNOFFERED` the server and the bundle's model can do; None: nobody looks."""
        return None

    @abstractmethod
    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: AnyServe, params: Mapping[str, Any]) -> None:
        """What the server reads, at ``folder``, independent of the bundle from then on. What was there is replaced."""

    @abstractmethod
    def check(self, folder: Path, model: str, version: str) -> None:
        """InputError that names the file when what was laid out is no longer whole."""

    def fit(self, revision: Revision, folder: Path, environment: Mapping[str, str], *, build: bool) -> None:
        """Make what was laid out at ``folder`` suit the GPU that ``environment`` shows the server, before each of its starts.

        ``build``: it may take minutes. A GPU that does not suit is no error: the model is served in another way.
        """
        return

    def served(self, revision: Revision, folder: Path) -> str:
        """What :meth:`fit` has come to, in a sentence; "" where there is no choice."""
        return ""

    @abstractmethod
    def command(self, revision: Revision, folder: Path, python: Path | None = None) -> tuple[tuple[str, ...], dict[str, str]]:
        """How it is started on what was laid out at ``folder`` (a shared one: at its home): command and environment.

        ``python``: the interpreter in its runtime's image; without it, this machine's runtime.
        """

    def shared(self, bundle: Path, serve: AnyServe) -> str:
        """Name of the program that serves all revisions alike in what the server is started with; empty: each has a server of its own.

        It must begin with ``revision-`` and be no revision's own name.
        """
        return ""

    def lay_out_shared(self, home: Path, folder: Path) -> None:
        """What a shared server itself reads, at ``home``, from what was laid out for one of its revisions. What is there stays."""
        raise NotImplementedError

    def share(self, home: Path, members: Sequence[tuple[Revision, Path]]) -> None:
        """Tell a shared server all revisions that it serves from now on, each with what was laid out for it."""
        raise NotImplementedError

    def left(self, home: Path, revision: Revision) -> bool:
        """Whether a revision that a shared server was told to give up has finished its answers."""
        raise NotImplementedError

    def failure(self, folder: Path) -> str:
        """Why a shared server could not take the revision laid out at ``folder``; empty when it could, or has not tried yet."""
        return ""

    @abstractmethod
    def ready(self, revision: Revision, folder: Path) -> bool:
        """Whether this very version, laid out at ``folder``, answers now."""


def get(url: str) -> bytes | None:
    """What a GET is answered with 200 within ``PROBE_S`` seconds; None when it is not."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_S) as answer:
            return bytes(answer.read()) if answer.status == 200 else None
    except (OSError, urllib.error.URLError):
        return None


def link(source: Path, target: Path) -> None:
    """The same file under a second name, a copy where that is not possible: models are large, and bundles are not written again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
