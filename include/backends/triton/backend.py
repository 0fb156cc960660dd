"""Triton as an engine: the guard around its server, and a repository of one model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.backends.backend import AnyServe, Backend, get
from include.backends.triton import gpu as triton_gpu
from include.backends.triton.guard import KEYED_APIS
from include.backends.triton.repository import check_repository, write_repository
from include.backends.triton.runtime import TritonRuntime, find_runtime
from include.bundles.table import Bundle
from include.serving.key import HEADER, key_headers, revision_key
from include.serving.revision import Revision
from include.spec.schema import Serve

GUARD = Path(__file__).with_name("guard.py")
FIXED = ("--model-control-mode=none", "--disable-auto-complete-config")
"""What is loaded at its start is served until its end."""
KEYED = ("metadata", "inference", "model-config", "statistics")
"""Parts of its HTTP API for whoever has the revision's key; readiness, which tells nothing else, is everybody's."""
UNUSED = (
    "--allow-grpc=false",
    "--http-restricted-api=model-repository,shared-memory,trace,logging:updraft:closed=never",
)
"""What nobody here needs: Triton would load models, write files and read memory for whoever asks. No header's name has a colon in it, so
nobody can send what opens these."""
EXIT_S = 1
"""Triton waits this long for requests and open connections when asked to end; the guard kills it later, supervisord later still."""


class Triton(Backend):
    name = "triton"
    runtime = "triton"
    ports = 1
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
            *FIXED,
            *UNUSED,
            "--allow-metrics=false",
            f"--exit-timeout-secs={EXIT_S}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            f"--http-address={revision.host}",
            f"--http-port={revision.http_port}",
        )
        # A command line can be read by everybody: the guard shows the server its key in another way.
        key = {KEYED_APIS: f"{','.join(KEYED)}:{HEADER}={revision_key(self._settings, revision.name)}"}
        return (str(runtime.python), str(GUARD), prefix, "--", *server), runtime.environment() | key

    def ready(self, revision: Revision, folder: Path) -> bool:
        # The server's own readiness is about all models together.
        url = f"{revision.url}/v2/models/{revision.model}/versions/{revision.version}"
        # Readiness is told to everybody; that it is this very server, only to whoever has its key.
        return get(f"{url}/ready") is not None and get(url, key_headers(self._settings, revision.name)) is not None
