"""What a revision asks of the GPU pool, and what it holds: ``lease.json`` in its folder, or in that of the server it shares with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from include import atomic

FILE = "lease.json"


@dataclass(frozen=True)
class RevisionLease:
    """``key`` and ``ask`` (an Ask as JSON) stay; the lease comes and goes. Without ``lease_id`` the revision waits for its GPU.

    ``environment`` is what its server gets: the devices it may see; ``grant`` (a Grant as JSON) which node's they are.
    """

    key: str
    ask: Mapping[str, Any]
    lease_id: str = ""
    token: int = 0
    request_id: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    grant: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return bool(self.lease_id)

    def without(self) -> RevisionLease:
        """The same wish, nothing held."""
        return replace(self, lease_id="", token=0, environment={}, grant={})

    def save(self, folder: Path) -> None:
        atomic.write(folder / FILE, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, folder: Path) -> RevisionLease | None:
        """None for a revision that asks for no GPU."""
        try:
            data: Mapping[str, Any] = json.loads((folder / FILE).read_text())
            return cls(**data)
        except (OSError, ValueError, TypeError):
            return None


def key(model: str, version: str | int, number: int = 1) -> str:
    """Under this name a server of a revision asks the pool: the same in every try, so that it never holds two leases."""
    return f"revision/{model}/{version}" + (f"/{number}" if number > 1 else "")
