"""Triton as an engine: the guard around its server, and a repository of one model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.backends.backend import AnyServe, Backend, get
from include.backends.triton import gpu as triton_gpu
from include.backends.triton.repository import check_repository, write_repository
from include.backends.triton.runtime import TritonRuntime, find_runtime
from include.bundles.table import Bundle
from include.serving.revision import Revision
from include.spec.schema import Serve

GUARD = Path(__file__).with_name("guard.py")
EXIT_S = 1
"""Triton waits this long for requests and open connections when asked to end; the guard kills it later, supervisord later still."""


class Triton(Backend):
    name = "triton"
    runtime = "triton"
    ports = 3
    causes = (
        re.compile(r"failed to load '[^']*' version \d+: (.*?)\"?$"),
        re.compile(r"(Error parsing text-format .*)$"),
        re.compile(r"failed to poll model repository.*|Poll failed for model.*"),
        re.compile(r"error: creating server: (.*)$"),
        re.compile(r"Failed to initialize Python stub: (.*)$"),
    )

    def prepare(self) -> None:
        find_runtime(self._settings)

    def digest(self, bundle: Path) -> str:
        return Bundle.read(bundle).digest()

    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: AnyServe, params: Mapping[str, Any]) -> None:
        assert isinstance(serve, Serve)
        write_repository(Bundle.read(bundle), folder, model, version, serve, params)

    def check(self, folder: Path, model: str, version: str) -> None:
        check_repository(folder, model, version)

    def fit(self, revision: Revision, folder: Path, environment: Mapping[str, str], *, build: bool) -> None:
        server = triton_gpu.TritonServer.at(find_runtime(self._settings).root)
        triton_gpu.fit(folder / revision.model / revision.version, server, environment, self._settings, build=build)

    def served(self, revision: Revision, folder: Path) -> str:
        return triton_gpu.served(folder / revision.model / revision.version)

    def command(self, revision: Revision, folder: Path, python: Path | None = None) -> tuple[tuple[str, ...], dict[str, str]]:
        runtime = TritonRuntime.in_image(python) if python else find_runtime(self._settings)
        prefix = f"updraft_{hashlib.sha256(str(folder.parent).encode()).hexdigest()[:12]}_"
        server = (
            str(runtime.server),
            f"--model-repository={folder}",
            f"--backend-directory={runtime.backends}",
            "--model-control-mode=explicit",
            f"--load-model={revision.model}",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={EXIT_S}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            *(f"--{kind}-address={revision.host}" for kind in ("http", "grpc", "metrics")),
            *(f"--{kind}-port={port}" for kind, port in zip(("http", "grpc", "metrics"), revision.ports, strict=True)),
        )
        return (str(runtime.python), str(GUARD), prefix, "--", *server), runtime.environment()

    def ready(self, revision: Revision, folder: Path) -> bool:
        # The server's own readiness is about all models together.
        return get(f"{revision.url}/v2/models/{revision.model}/versions/{revision.version}/ready") is not None
