"""Where everything lives on this machine: folders and ports, all derived from two environment variables."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from include import atomic
from include.errors import InputError
from include.runtime import layers

REPO = Path(__file__).resolve().parents[2]
TARGETS = ("process", "docker", "kubernetes")
FOLDER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
PRIVATE = 0o077
"""The umask of all that Updraft makes: its owner's alone."""
PORT_BASE = 8000
POINTER = "UPDRAFT_POINTER"
"""Names the file that remembers where the platform of this checkout is, while it runs."""
TRACES, TRACE_SHARE = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER_ARG"
"""OpenTelemetry's own settings of where traces go, and what share of them."""
REVISION_PORTS = range(100, 400)
"""Offsets from the port base out of which revisions take their ports."""


def folders(text: str) -> dict[str, Path]:
    """Name → folder of ``name=/folder:name=/folder``. Raises InputError."""
    found: dict[str, Path] = {}
    for part in filter(None, text.split(":")):
        name, _, folder = part.partition("=")
        if not FOLDER_NAME.fullmatch(name) or not folder.startswith("/") or name in found:
            raise InputError(f"UPDRAFT_DATA: {part!r:.200} names no folder.", where="environment", remedy="Write name=/absolute/folder.")
        found[name] = Path(folder)
    return found


@dataclass(frozen=True)
class Settings:
    """``home`` holds all state (git-ignored); ports are ``port_base`` plus a fixed offset; every server binds to ``host``."""

    home: Path
    runtimes: Path
    port_base: int
    repo: Path = REPO
    host: str = "127.0.0.1"

    @classmethod
    def load(cls) -> Settings:
        """From ``UPDRAFT_HOME``, ``UPDRAFT_RUNTIMES`` (``.updraft/runtimes``) and ``UPDRAFT_PORT_BASE``.

        Without the first: the home of the platform that :meth:`remember` wrote down and that still runs, else ``.updraft``. Without the
        last: the port base of the home's last start, else 8000.
        """
        home = Path(os.environ.get("UPDRAFT_HOME") or _running() or REPO / ".updraft").resolve()
        runtimes = Path(os.environ.get("UPDRAFT_RUNTIMES", REPO / ".updraft" / "runtimes")).resolve()
        base = os.environ.get("UPDRAFT_PORT_BASE")
        if base is None:
            base = _read(home / "port-base") or str(PORT_BASE)
        if not base.isdigit() or not 1024 <= int(base) <= 65535 - REVISION_PORTS.stop:
            raise InputError(
                f"UPDRAFT_PORT_BASE={base!r} is no usable port.", where="environment", remedy="Use a number between 1024 and 65000."
            )
        return cls(home=home, runtimes=runtimes, port_base=int(base))

    def remember(self) -> None:
        """Have later calls from this checkout that name no home and no ports find this platform."""
        atomic.write(self.home / "port-base", f"{self.port_base}\n")
        atomic.write(_pointer(), f"{self.home}\n")

    @property
    def target(self) -> str:
        """Where steps of specs that name no target run: ``UPDRAFT_TARGET`` (``process``)."""
        found = os.environ.get("UPDRAFT_TARGET") or TARGETS[0]
        if found not in TARGETS:
            raise InputError(f"UPDRAFT_TARGET={found!r} is no target.", where="environment", remedy=f"Use one of: {', '.join(TARGETS)}.")
        return found

    @property
    def bind(self) -> str:
        """Where Airflow, MLflow and the gateway listen: ``UPDRAFT_BIND``, for a container whose ports are published; else ``host``."""
        return os.environ.get("UPDRAFT_BIND") or self.host

    @property
    def among_containers(self) -> bool:
        """Whether each server has a container of its own, and they meet in a network that nobody else is in."""
        return bool(os.environ.get("UPDRAFT_BIND"))

    @property
    def artifacts(self) -> str:
        """Where MLflow keeps artifacts: ``UPDRAFT_ARTIFACTS`` (``s3://bucket``), else a bucket of the platform's own S3, else a folder."""
        return os.environ.get("UPDRAFT_ARTIFACTS") or ("s3://mlflow" if self.own_s3 else str(self.home / "mlflow" / "artifacts"))

    @property
    def dvc_remote(self) -> str:
        """Where DVC keeps what runs were trained on: ``UPDRAFT_DVC_REMOTE``, else the same."""
        return os.environ.get("UPDRAFT_DVC_REMOTE") or ("s3://dvc" if self.own_s3 else str(self.home / "dvc-remote"))

    @property
    def predictions(self) -> str:
        """Where what callers sent and got is kept: ``UPDRAFT_PREDICTIONS``, else the same."""
        return os.environ.get("UPDRAFT_PREDICTIONS") or ("s3://predictions" if self.own_s3 else str(self.home / "predictions"))

    @property
    def traces(self) -> str:
        """Where traces go: ``OTEL_EXPORTER_OTLP_ENDPOINT`` (``http://host:4318``); empty for nowhere."""
        return os.environ.get(TRACES) or ""

    @property
    def trace_share(self) -> float:
        """Share of requests and runs that are traced: ``OTEL_TRACES_SAMPLER_ARG`` (1)."""
        found = os.environ.get(TRACE_SHARE) or "1"
        try:
            share = float(found)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise InputError(f"{found!r:.50} is no share.", where=TRACE_SHARE, remedy="Write a number from 0 to 1.")
        return share

    @property
    def s3(self) -> Path:
        """What Amazon's tools read to reach the platform's own S3 (``config``, ``credentials``); there is none without it."""
        return self.home / "s3"

    @property
    def own_s3(self) -> bool:
        """Whether the platform has an S3 of its own."""
        return (self.s3 / "config").exists()

    @property
    def s3_environment(self) -> dict[str, str]:
        """By which Amazon's tools find the platform's own S3; empty without one."""
        files = {"AWS_CONFIG_FILE": self.s3 / "config", "AWS_SHARED_CREDENTIALS_FILE": self.s3 / "credentials"}
        return {name: str(path) for name, path in files.items()} if self.own_s3 else {}

    @property
    def airflow_port(self) -> int:
        return self.port_base + 80

    @property
    def mlflow_port(self) -> int:
        return self.port_base + 50

    @property
    def mlflow_door_port(self) -> int:
        """Of the door before MLflow: on loopback, and at the address, if any, at which pods reach it."""
        return self.port_base + 51

    @property
    def gateway_port(self) -> int:
        return self.port_base

    @property
    def postgres_port(self) -> int:
        return self.port_base + 54

    @property
    def redis_port(self) -> int:
        return self.port_base + 63

    @property
    def prometheus_port(self) -> int:
        return self.port_base + 70

    @property
    def alertmanager_port(self) -> int:
        return self.port_base + 71

    @property
    def exporter_port(self) -> int:
        """Of the door by which Prometheus reads what the platform measures."""
        return self.port_base + 72

    @property
    def labels_port(self) -> int:
        """Of Label Studio."""
        return self.port_base + 73

    @property
    def s3_port(self) -> int:
        return self.port_base + 90

    @property
    def airflow_url(self) -> str:
        return f"http://{self.host}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.host}:{self.mlflow_port}"

    @property
    def labels_url(self) -> str:
        return f"http://{self.host}:{self.labels_port}"

    @property
    def mlflow_door_url(self) -> str:
        """Where steps of this machine reach MLflow."""
        return f"http://{self.host}:{self.mlflow_door_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://{self.host}:{self.gateway_port}"

    @property
    def revision_ports(self) -> range:
        return range(self.port_base + REVISION_PORTS.start, self.port_base + REVISION_PORTS.stop)

    @property
    def models(self) -> Path:
        """The users' model folders; ``UPDRAFT_MODELS`` points elsewhere (tests, a second team)."""
        return Path(os.environ.get("UPDRAFT_MODELS", self.repo / "include" / "models")).resolve()

    @property
    def batch(self) -> Path:
        """What batch inference reads and writes; ``UPDRAFT_BATCH`` points elsewhere (a shared disk)."""
        return Path(os.environ.get("UPDRAFT_BATCH", self.home / "batch")).resolve()

    @property
    def data_roots(self) -> dict[str, Path]:
        """The folders, by name, out of which runs may take data besides their model's own: ``UPDRAFT_DATA`` (``data=<home>/data``)."""
        return folders(os.environ.get("UPDRAFT_DATA") or f"data={self.home / 'data'}")

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def gateway_log(self) -> Path:
        """One line a request."""
        return self.logs / "gateway_access.log"

    @property
    def usage(self) -> Path:
        """Tokens by day, key and model."""
        return self.home / "usage.json"

    @property
    def prices(self) -> Path:
        """An administrator's prices of GPUs and tokens, over the project's."""
        return self.home / "prices.yaml"

    @property
    def noted_acts(self) -> Path:
        """What was done on the command line, until it is in the list of acts."""
        return self.home / "acts" / "noted.jsonl"

    @property
    def budgets(self) -> Path:
        """What each key, team and model may use in a month."""
        return self.home / "budgets.json"

    @property
    def budget_ledger(self) -> Path:
        """The count of budgets: what is used, and what is reserved."""
        return self.home / "budgets" / "ledger.sqlite"

    @property
    def budget_socket(self) -> Path:
        """Where the gateway asks whether a budget allows a request."""
        return self.home / "budgets" / "count.sock"

    @property
    def limits(self) -> Path:
        """What each API key may ask in a minute."""
        return self.home / "limits.json"

    @property
    def keys(self) -> Path:
        """Callers' API keys, by their hashes."""
        return self.home / "keys.json"

    @property
    def key_use(self) -> Path:
        """When each caller last came."""
        return self.home / "key_use.json"

    @property
    def envoy(self) -> Path:
        return self.home / "envoy"

    @property
    def gateway_admin(self) -> Path:
        """The socket by which Envoy is asked what it runs."""
        return self.envoy / "admin.sock"

    @property
    def revisions(self) -> Path:
        return self.home / "revisions"

    @property
    def observations(self) -> Path:
        """What started servers reported of their memory."""
        return self.home / "observations"

    @property
    def steps(self) -> Path:
        return self.home / "steps"

    @property
    def gpu_agent(self) -> Path:
        """The GPU agent's own: its token, and the number of its last report."""
        return self.home / "gpu-agent"

    @property
    def trials(self) -> Path:
        """What a trial needs while it lasts: a socket for live requests, right answers of a language model. The owner's alone."""
        return self.home / "trials"

    @property
    def prediction_log(self) -> Path:
        """The prediction log's own: its socket, its key, and what is not Parquet yet."""
        return self.home / "prediction-log"

    @property
    def prediction_socket(self) -> Path:
        """Where the gateway tells of what callers sent and got."""
        return self.prediction_log / "log.sock"

    @property
    def labels(self) -> Path:
        """What people have labelled, a folder a model."""
        return self.home / "labels"

    @property
    def watch(self) -> Path:
        """What the watch knows of each champion."""
        return self.home / "watch.json"

    @property
    def supervisor_socket(self) -> Path:
        return self.home / "supervisor" / "supervisor.sock"

    @property
    def supervisor_programs(self) -> Path:
        """Folder of ``*.conf`` files that supervisord includes: one a revision or step."""
        return self.home / "supervisor" / "programs"

    def python(self, runtime: str) -> Path:
        """The interpreter of a runtime's environment; of one with a model's own packages (``trainer+<digest>``) that of the layer."""
        name, layer = layers.split(runtime)
        folder = self.home / "layers" / f"{name}-{layer}" if layer else self.runtimes / name
        return folder / "bin" / "python"


def _pointer() -> Path:
    return Path(os.environ.get(POINTER) or REPO / ".updraft" / "running")


def _running() -> str:
    """The home that was remembered, if its supervisord has not been stopped since."""
    home = _read(_pointer())
    return home if home and (Path(home) / "supervisor" / "supervisor.sock").exists() else ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
