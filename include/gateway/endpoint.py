"""What the gateway must know of a revision, and the names of its clusters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from include.errors import InputError
from include.spec.serve import Protocol

_MODEL = re.compile(r"^[a-z][a-z0-9_]{0,47}$")
_REVISION = re.compile(r"^[0-9a-z_]{1,32}$")


@dataclass(frozen=True)
class Replica:
    """One server of a revision that has several: its number (from 1), and where it listens."""

    number: int
    host: str
    port: int


@dataclass(frozen=True)
class Endpoint:
    """One revision's first server at ``host:port``, and what it speaks. ``timeout_s`` bounds one request (seconds); ``health``: the path
    that is answered with 200 while it takes requests; ``passes``: beginnings of its own paths that callers reach under ``/models/<name>``;
    ``offers``: which of :data:`include.gateway.openai.UNOFFERED` it can do (None: not known, it may refuse by itself);
    ``about``: the body of ``GET /v2/models/<name>`` where the gateway answers that itself (JSON). ``replicas``: the servers that take its
    requests, by number; empty: the first alone."""

    model: str
    revision: str
    port: int
    host: str = "127.0.0.1"
    timeout_s: float = 10.0
    protocol: Protocol = "kserve"
    health: str = ""
    passes: tuple[str, ...] = ()
    offers: tuple[str, ...] | None = None
    about: str = ""
    replicas: tuple[Replica, ...] = ()

    def __post_init__(self) -> None:
        check_model(self.model)
        if not _REVISION.match(self.revision):
            raise InputError(
                f"{self.revision!r} is no revision name.",
                where="gateway",
                remedy="Use 1 to 32 of a-z, 0-9 and _ (a model version such as 3).",
            )
        if not 0 < self.port < 65536:
            raise InputError(f"port {self.port} is outside 1-65535.", where=f"gateway: revision {self.model}/{self.revision}")

    @property
    def cluster(self) -> str:
        return cluster_name(self.model, self.revision)

    @property
    def servers(self) -> tuple[Replica, ...]:
        """The servers that take its requests."""
        return self.replicas or (Replica(1, self.host, self.port),)

    def to_json(self) -> dict[str, Any]:
        # Lists, as JSON reads them back: what is written is compared with what was.
        offers = None if self.offers is None else list(self.offers)
        return {**asdict(self), "passes": list(self.passes), "offers": offers, "replicas": [asdict(one) for one in self.replicas]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Endpoint:
        offers = data.get("offers")
        lists = {"passes": tuple(data.get("passes", ())), "replicas": tuple(Replica(**one) for one in data.get("replicas", ()))}
        return cls(**{**data, **lists, "offers": None if offers is None else tuple(offers)})


def check_model(model: str) -> None:
    """Refuse what is no model name: it becomes part of paths, cluster names and regular expressions."""
    if not _MODEL.match(model):
        raise InputError(f"{model!r} is no model name.", where="gateway", remedy="Use a-z, 0-9 and _, a letter first, at most 48.")


def cluster_name(model: str, revision: str, others: tuple[str, ...] = ()) -> str:
    """The cluster of a revision; with ``others``, of the revision backed by those should it be dead. Neither part may hold a dash."""
    return "-".join((model, revision, *(("over", *others) if others else ())))


def server_name(model: str, revision: str, number: int = 1) -> str:
    """The name of a revision's server of a number: of its program, its log, its key. The first is called as the revision is."""
    return f"revision-{model}-{revision}" + (f"-{number}" if number > 1 else "")


def parse_cluster(name: str) -> tuple[str, str, tuple[str, ...]]:
    """Inverse of :func:`cluster_name`: model, revision, the revisions behind it."""
    model, revision, *rest = name.split("-")
    return model, revision, tuple(rest[1:])
