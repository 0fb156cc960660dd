"""Triton as a backend: the guard around its server, and a repository of one model."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include.backends.backend import Backend, Laid, Launch, Metrics, Place, Probes, get
from include.backends.triton import gpu as triton_gpu
from include.backends.triton.guard import KEYED_APIS
from include.backends.triton.repository import check_repository, write_repository
from include.backends.triton.runtime import SERVER, TritonRuntime, find_runtime
from include.backends.triton.spec import TritonServe, TritonTensorServe
from include.bundles.table import Bundle
from include.runtime.revision_key import HEADER
from include.runtime.sandbox.ports import Ports
from include.runtime.settings import Settings
from include.spec.serve import Protocol, Serve

GUARD = "include/backends/triton/guard.py"
FIXED = (
    *("--model-control-mode=none", "--disable-auto-complete-config", "--reuse-http-port=1"),
    "--http-header-forward-pattern=(?i)x-request-id",
)
"""What is loaded at its start is served until its end. Its port is held for it (include/runtime/held_ports.py). A request's id is told to
the model, which logs it where it fails."""
KEYED = ("metadata", "inference", "model-config", "statistics")
"""Parts of its HTTP API for whoever has the revision's key; readiness, which tells nothing else, is everybody's."""
UNUSED = ("--allow-grpc=false", "--http-restricted-api=model-repository,shared-memory,trace,logging:updraft:closed=never")
"""What nobody here needs: Triton would load models, write files and read memory for whoever asks. No header's name has a colon in it, so
nobody can send what opens these."""
SERVICE = "updraft-triton"
"""Of its spans, for whoever looks at them."""
SPANS_MS = 1000
"""It gathers spans for so long before it sends them (milliseconds)."""
EXIT_S = 1
"""Triton waits this long for requests and open connections when asked to end; the guard kills it later, supervisord later still."""


def traced(url: str) -> tuple[str, ...]:
    """The server's arguments for spans of the requests that come with a trace, and of no others (a rate of 0). Pure."""
    settings = ("mode=opentelemetry", "level=TIMESTAMPS", "rate=0", "count=-1")
    sent = (f"url={url}", f"resource=service.name={SERVICE}", f"bsp_schedule_delay={SPANS_MS}")
    return tuple(f"--trace-config={setting}" for setting in (*settings, *(f"opentelemetry,{one}" for one in sent)))


class Triton(Backend):
    name = "triton"
    starts_inside = True
    traced = True
    title = "Triton"
    serves = (TritonServe, TritonTensorServe)
    ports = ("http", "metrics")
    causes = (
        re.compile(r"failed to load '[^']*' version \d+: (.*?)\"?$"),
        re.compile(r"(Error parsing text-format .*)$"),
        re.compile(r"failed to poll model repository.*|Poll failed for model.*"),
        re.compile(r"error: creating server: (.*)$"),
        re.compile(r"Failed to initialize Python stub: (.*)$"),
    )

    def runtime(self, serve: Serve) -> str:
        return "triton"

    def protocol(self, serve: Serve) -> Protocol:
        return "kserve"

    def prepare(self, settings: Settings, serve: Serve) -> None:
        find_runtime(settings.python(self.runtime(serve)))

    def reads(self, serve: Serve) -> Sequence[Path]:
        return (Path(own),) if (own := os.environ.get(SERVER)) else ()

    def digest(self, bundle: Path) -> str:
        return Bundle.read(bundle).digest()

    def lay_out(self, bundle: Path, folder: Path, model: str, version: str, serve: Serve, params: Mapping[str, Any]) -> None:
        assert isinstance(serve, TritonServe)
        write_repository(Bundle.read(bundle), folder, model, version, serve, params)

    def check(self, folder: Path, model: str, version: str) -> None:
        check_repository(folder, model, version)

    def laid(self, folder: Path) -> Laid:
        """Nothing: a model's configuration lies beside it."""
        return {}

    def planned(self, serve: Serve) -> Laid:
        return {}

    def fit(self, place: Place, environment: Mapping[str, str], settings: Settings, *, build: bool) -> None:
        server = triton_gpu.TritonServer.at(find_runtime(place.python).root)
        triton_gpu.fit(place.folder / place.model / place.version, server, environment, settings, build=build)

    def served(self, place: Place) -> str:
        return triton_gpu.served(place.folder / place.model / place.version)

    def launch(self, laid: Laid, place: Place) -> Launch:
        runtime = TritonRuntime.in_image(place.python, place.root) if place.inside else find_runtime(place.python)
        prefix = f"updraft_{hashlib.sha256(str(place.folder.parent).encode()).hexdigest()[:12]}_"
        kinds = tuple(zip(self.ports, place.ports, strict=True))
        server = (
            str(runtime.server),
            f"--model-repository={place.folder}",
            f"--backend-directory={runtime.backends}",
            *FIXED,
            *UNUSED,
            f"--exit-timeout-secs={EXIT_S if place.drain_s is None else math.ceil(place.drain_s)}",
            *(("--metrics-config=summary_latencies=true",) if place.scraped else ("--allow-metrics=false",)),
            *(traced(place.traces) if place.traces else ()),
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            *(f"--{kind}-address={place.host}" for kind, _ in kinds),
            *(f"--{kind}-port={port}" for kind, port in kinds),
        )
        # Updraft's own image has the guard, and the Python that it runs in.
        guard = () if place.root else (str(runtime.python), "-P", str(place.code / GUARD), prefix, "--")
        return Launch(
            command=(*guard, *server),
            # A command line can be read by everybody: the guard shows the server its key in another way.
            environment=runtime.environment()
            | ({KEYED_APIS: f"{','.join(KEYED)}:{HEADER}={place.key}"} if place.key else {})
            # A process of this machine is held from outside.
            | (Ports(listen=place.ports, handed_out=False).environment() if place.inside and guard else {}),
            probes=Probes(ready=f"/v2/models/{place.model}/versions/{place.version}/ready", live="/v2/health/live"),
            metrics=Metrics(port="metrics", waiting="nv_inference_pending_request_count") if place.scraped else None,
        )

    def ready(self, url: str, place: Place, laid: Laid) -> bool:
        # The server's own readiness is about all models together.
        model = f"{url}/v2/models/{place.model}/versions/{place.version}"
        # Readiness is told to everybody; that it is this very server, only to whoever has its key.
        return get(f"{model}/ready") is not None and get(model, place.shown) is not None
