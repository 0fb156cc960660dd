"""Who may call the gateway, and the secret by which the platform's own probes reach one revision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.errors import ComponentError
from include.runtime.settings import Settings

PROBE_CLIENT = "updraft"
"""The platform itself, among the API keys."""


@dataclass(frozen=True)
class Credentials:
    """``api_keys`` maps client names to their keys; neither keys nor the secret ever show in a repr or a log."""

    api_keys: Mapping[str, str] = field(repr=False)
    probe_secret: str = field(repr=False)

    @classmethod
    def load(cls, settings: Settings) -> Credentials:
        """From ``credentials.json`` in the platform's home."""
        return cls.read(settings.home / "credentials.json")

    @classmethod
    def read(cls, path: Path) -> Credentials:
        try:
            data = json.loads(path.read_text())
            return cls(api_keys=dict(data["api_keys"]), probe_secret=data["probe_secret"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ComponentError(
                f"holds no usable credentials ({type(error).__name__}).", where=str(path), remedy="Run `make up`, which generates them."
            ) from error

    def probe_headers(self, client: str, revision: str) -> dict[str, str]:
        """Headers with which a request reaches one revision through the gateway, whatever the split."""
        return {"x-api-key": self.api_keys[client], "x-updraft-probe": self.probe_secret, "x-updraft-revision": revision}

    def batch_headers(self, client: str, revision: str) -> dict[str, str]:
        """The same for batch inference: metered, and part of no trial."""
        return {"x-api-key": self.api_keys[client], "x-updraft-batch": self.probe_secret, "x-updraft-revision": revision}
