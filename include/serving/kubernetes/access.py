"""Where the servers' cluster is and how it is used: of a connection of Airflow's, kept beside the platform's state for whoever has none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import atomic
from include.kubernetes.client import connected
from include.runtime.settings import Settings
from include.serving.kubernetes.options import ClusterOptions

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

FIELDS = ("in_cluster", "kube_config_path", "kube_config", "cluster_context", "disable_verify_ssl")
"""Of Airflow's connection (type Kubernetes), by which its own operators find a cluster."""


@dataclass(frozen=True)
class ClusterAccess:
    """``reach`` are FIELDS of the connection that are set; none: this process' KUBECONFIG, or the user's own file."""

    options: ClusterOptions
    reach: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, extra: Mapping[str, Any], namespace: str) -> ClusterAccess:
        """Of the connection's extra. Raises InputError."""
        found = {name: extra[name] for name in FIELDS if extra.get(name)}
        if not found and os.environ.get("KUBECONFIG"):
            found = {"kube_config_path": os.environ["KUBECONFIG"]}
        return cls(ClusterOptions.read(extra, namespace), found)

    @classmethod
    def read(cls, settings: Settings) -> ClusterAccess | None:
        """As it was at the last deployment; None when there was none."""
        try:
            data = json.loads(_file(settings).read_text())
        except OSError:
            return None
        return cls(ClusterOptions.model_validate_json(json.dumps(data["options"])), data["reach"])

    def save(self, settings: Settings) -> None:
        """Readable by the owner alone: ``kube_config`` may hold a token."""
        told = json.dumps({"options": self.options.model_dump(mode="json"), "reach": dict(self.reach)}, indent=1)
        atomic.write(_file(settings), told)

    def client(self) -> ApiClient:
        """InputError when it names no cluster."""
        return connected(self.reach)


def _file(settings: Settings) -> Path:
    return settings.home / "kubernetes" / "servers.json"
