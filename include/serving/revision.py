"""One deployed model version: where its server listens and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from include import atomic
from include.gateway.endpoint import Endpoint, Replica, server_name
from include.spec.serve import Protocol

REPOSITORY = "repository"
"""What the server reads, in the revision's folder."""
FILE = "revision.json"
FORMER = {"grpc_port": "port2", "metrics_port": "port3"}
"""What fields are called in files of earlier versions."""


class RevisionState(StrEnum):
    """Seed's states of a served model, and STANDBY: it runs without traffic, to be returned to."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STANDBY = "STANDBY"
    ERROR = "ERROR"
    STOPPING = "STOPPING"
    PREEMPTED = "PREEMPTED"


@dataclass(frozen=True)
class Revision:
    """A server of one version of one model. ``digest`` is that of bundle, serve options and parameters together.

    ``port2`` and ``port3`` are what the backend makes of them (Triton: metrics, nothing); 0: it has no such port. ``shared`` names the
    server that it is on together with other revisions; empty: it has its own. ``target``: what its server is (a process, or what the spec's
    ``target`` says). ``health``: the path that it answers with 200 while it takes requests. ``passes``: beginnings of its own paths that
    callers reach. ``offers``: see :class:`Endpoint`. ``number``: of this server, where the revision has several; the first is 1, and is
    what the revision is known by.
    """

    model: str
    version: str
    host: str
    http_port: int
    port2: int
    port3: int
    digest: str
    request_timeout_s: float = 10.0
    backend: str = "triton"
    shared: str = ""
    target: str = "process"
    protocol: Protocol = "kserve"
    health: str = ""
    passes: tuple[str, ...] = ()
    offers: tuple[str, ...] | None = None
    number: int = 1

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.http_port}"

    @property
    def name(self) -> str:
        """The server's."""
        return server_name(self.model, self.version, self.number)

    @property
    def program(self) -> str:
        """By this its server is known where it runs: its program in supervisord, say."""
        return self.shared or self.name

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(port for port in (self.http_port, self.port2, self.port3) if port)

    def replica(self) -> Replica:
        """Where this server is found, as the gateway knows it."""
        return Replica(self.number, self.host, self.http_port)

    def endpoint(self) -> Endpoint:
        """What the gateway needs of the revision."""
        return Endpoint(
            self.model,
            self.version,
            self.http_port,
            self.host,
            self.request_timeout_s,
            self.protocol,
            self.health,
            self.passes,
            self.offers,
        )

    def save(self, folder: Path) -> None:
        """Whole or not at all, as ``revision.json`` in the revision's folder."""
        atomic.write(folder / FILE, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, folder: Path) -> Revision | None:
        """None when the folder holds no readable revision."""
        try:
            stat = (folder / FILE).stat()
        except OSError:
            return None
        return _read(folder, stat.st_ino, stat.st_mtime_ns, stat.st_size)


@lru_cache(4096)
def _read(folder: Path, inode: int, changed_ns: int, size: int) -> Revision | None:
    """What stands in the file that is there with these facts: it is replaced, never changed, and who keeps revisions reads it each
    second."""
    try:
        data: Mapping[str, Any] = json.loads((folder / FILE).read_text())
        data = {FORMER.get(name, name): value for name, value in data.items()}
        # One of before the protocol was written down: what spoke KServe v2 had a second port.
        known = {"protocol": "kserve" if data["port2"] else "openai"}
        offers = data.get("offers")
        lists = {"passes": tuple(data.get("passes", ())), "offers": None if offers is None else tuple(offers)}
        return Revision(**(known | data | lists))
    except (OSError, ValueError, TypeError, KeyError):
        return None
