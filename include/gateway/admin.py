"""Envoy's administration: what it runs at this moment. On a Unix socket that its owner alone can open."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from include.errors import ComponentError
from include.gateway import budgets, exchanges, key_filter
from include.gateway import rate_limits as limits
from include.runtime.waiting import until

POLL_S = 0.01


class Admin:
    """Questions to a running Envoy whose socket is ``path``; every call is bounded by ``timeout_s`` (seconds)."""

    def __init__(self, path: Path, timeout_s: float = 5) -> None:
        self._path, self._timeout_s = path, timeout_s

    def running(self) -> bool:
        """Whether Envoy answers at all."""
        try:
            self._get("/ready")
        except ComponentError:
            return False
        return True

    def versions(self) -> dict[str, str]:
        """Version of the listeners (``lds``), clusters (``cds``), public routes (``rds``) and limits that Envoy runs; absent before any."""
        found = self.texts("version_text$")
        names = {
            "lds": "listener_manager.lds.version_text",
            "cds": "cluster_manager.cds.version_text",
            "rds": "http.gateway.rds.gateway.version_text",
            **{kind: f"extension_config_discovery.http_filter.{limits.NAME.format(kind)}.version_text" for kind in limits.KINDS},
            key_filter.KIND: f"extension_config_discovery.http_filter.{key_filter.NAME}.version_text",
            budgets.KIND: f"extension_config_discovery.http_filter.{budgets.NAME}.version_text",
            exchanges.KIND: f"extension_config_discovery.http_filter.{exchanges.NAME}.version_text",
        }
        return {kind: found[name] for kind, name in names.items() if found.get(name)}

    def rejected(self) -> dict[str, int]:
        """How often Envoy refused an update, by statistic."""
        return {name: count for name, count in self.counters("update_rejected$").items() if count}

    def active_clusters(self) -> set[str]:
        """Clusters that take requests: known, and with a first health check behind them."""
        dump = self._json("/config_dump?resource=dynamic_active_clusters&mask=cluster.name")
        return {entry["cluster"]["name"] for entry in dump.get("configs", []) if "cluster" in entry}

    def warming(self, cluster: str) -> bool:
        """Whether the cluster is being replaced: its requests go where they went before, until each new server was asked for its health."""
        dump = self._json("/config_dump?resource=dynamic_warming_clusters&mask=cluster.name")
        return any(entry.get("cluster", {}).get("name") == cluster for entry in dump.get("configs", []))

    def healthy(self, cluster: str) -> bool:
        """Whether the cluster has a host that the gateway would send a request to."""
        return self.counters(f"^cluster.{cluster}.membership_healthy$").get(f"cluster.{cluster}.membership_healthy", 0) > 0

    def active_requests(self, cluster: str) -> int:
        """Requests on their way to or in this cluster at this moment."""
        found = self.counters(f"^cluster.{cluster}.upstream_rq_(active|pending_active)$")
        return sum(found.values())

    def at_revision(self, cluster: str) -> int:
        """Requests on their way to or in the revision of this cluster at this moment, those that it has as the trial's arm included."""
        return sum(self.counters(f"^cluster.{cluster}(-over-.*)?.upstream_rq_(active|pending_active)$").values())

    def total_requests(self, cluster: str) -> int:
        """Requests sent to this cluster since Envoy started; health checks are none."""
        return sum(self.counters(f"^cluster.{cluster}.upstream_rq_total$").values())

    def counters(self, pattern: str) -> dict[str, int]:
        """Counters and gauges by name whose name matches the regular expression."""
        stats = self._json(f"/stats?format=json&filter={pattern}").get("stats", [])
        return {stat["name"]: int(stat["value"]) for stat in stats if isinstance(stat.get("value"), int)}

    def prometheus(self, pattern: str) -> str:
        """What has been counted under names that match the regular expression, in Prometheus' text format."""
        return self._get(f"/stats/prometheus?usedonly&filter={quote(pattern, safe='')}").decode(errors="replace")

    def texts(self, pattern: str) -> dict[str, str]:
        stats = self._json(f"/stats?format=json&type=TextReadouts&filter={pattern}").get("stats", [])
        return {stat["name"]: stat["value"] for stat in stats if isinstance(stat.get("value"), str)}

    def reopen_logs(self) -> None:
        self._get("/reopen_logs", method="POST")

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Until ``condition`` holds; a ComponentError that says ``what`` was waited for after ``timeout_s`` seconds."""
        if not until(condition, timeout_s, POLL_S):
            refused = self.rejected()
            cause = f" Envoy refused updates: {refused}." if refused else ""
            raise ComponentError(f"{what} not within {timeout_s:g} s.{cause}", where="Envoy", remedy="See the gateway's log.")

    def _json(self, path: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self._get(path))
        return data

    def _get(self, path: str, method: str = "GET") -> bytes:
        connection = _Connection(self._path, self._timeout_s)
        try:
            connection.request(method, path.replace("^", "%5E").replace("|", "%7C"))
            answer = connection.getresponse()
            if answer.status != 200:
                raise OSError(f"it says {answer.status}")
            return answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ComponentError(
                f"Envoy's admin socket does not answer ({error}).", where=str(self._path), remedy="Is the gateway running?"
            ) from error
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
