"""The GPU pool on this machine: the agent that `make up` starts, its token, and the pool in one line for `make status`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import ComponentError, InputError, UpdraftError
from include.inventory import local_agent
from include.inventory.choose import SIMULATED, Wish, choose
from include.inventory.kubernetes import Kubernetes
from include.runtime import web
from include.runtime.airflow_api import AirflowApi
from include.runtime.settings import Settings
from include.runtime.waiting import until

TOKEN_DAYS = 365
CLUSTER_TOKEN = ".cluster.token"
REFUSED = (401, 403)
FIRST_REPORT_S = 15.0
"""The first report comes within a second or two; a pool that has none after this is told so, and `make up` goes on."""


@dataclass(frozen=True)
class Reporter:
    """Who reports this machine's GPUs, or the cluster's: what the agent is started with."""

    name: str
    source: str
    cluster: bool
    file: Path = SIMULATED
    sharing: str = ""

    def token(self, settings: Settings) -> Path:
        """A cluster's token may report other nodes than a machine's: they are kept apart."""
        return settings.gpu_agent / f"{self.name}{CLUSTER_TOKEN if self.cluster else '.token'}"


def reporter(target: str = "process") -> Reporter:
    """By ``UPDRAFT_GPU_SOURCE`` (auto), ``UPDRAFT_GPU_INVENTORY`` (the shipped file), ``UPDRAFT_GPU_REPORTER`` and ``UPDRAFT_GPU_SHARING``.

    Where steps are pods (``target``) auto means the cluster's GPUs, if it offers any.

    Raises InputError for a value or a file that is not to be used.
    """
    ask = os.environ.get
    sharing = ask("UPDRAFT_GPU_SHARING", "")
    if sharing not in ("", "time-slice", "mps"):
        raise InputError(f"is {sharing!r:.60}.", where="UPDRAFT_GPU_SHARING", remedy="Give time-slice or mps, or leave it out.")
    file = Path(ask("UPDRAFT_GPU_INVENTORY") or SIMULATED).resolve()
    source = ask("UPDRAFT_GPU_SOURCE") or "auto"
    if source == "auto" and target == "kubernetes" and cluster_offers_gpus():
        source = "kubernetes"
    inventory, name = choose(Wish(source, file, ask("UPDRAFT_GPU_REPORTER", ""), sharing))
    return Reporter(name, inventory.source, inventory.cluster, file, sharing)


def cluster_offers_gpus() -> bool:
    """Whether the cluster of KUBECONFIG has a node with GPUs, as far as its user may know."""
    try:
        return bool(Kubernetes().read())
    except UpdraftError:
        return False


def enrol(api: AirflowApi, settings: Settings, who: Reporter) -> bool:
    """See to it that the reporter's token is one that the pool takes; whether a new one was needed. ``api`` is an admin's."""
    path = who.token(settings)
    if path.exists() and _taken(settings, who, path):
        return False
    # Asking again replaces what the first call made: a call that a busy SQLite has refused may be repeated.
    for pause_s in (0.2, 1.0, 3.0, None):
        try:
            answer = api.post(f"/gpu-pool/v1/agents/{who.name}", {"cluster": who.cluster, "days": TOKEN_DAYS})
            break
        except ComponentError:
            if pause_s is None:
                raise
            time.sleep(pause_s)
    atomic.write(path, f"{answer['token']}\n")
    return True


def _taken(settings: Settings, who: Reporter, path: Path) -> bool:
    """Whether the pool knows the token: an empty report is refused for what it says, not for who says it."""
    url = f"{settings.airflow_url}/gpu-pool/v1/reports/{who.name}"
    headers = {"Authorization": f"Bearer {path.read_text().strip()}"}
    try:
        return web.ask("PUT", url, json={}, headers=headers, timeout=10).status_code not in REFUSED
    except OSError as error:
        raise ComponentError(f"gives no answer ({type(error).__name__}).", where=url) from None


def wait_for_report(api: AirflowApi, who: Reporter) -> str:
    """The pool in one line, once it has a report of this reporter; "" when none has come within FIRST_REPORT_S."""

    def reported() -> str:
        inventory = api.get("/gpu-pool/v1/inventory")
        return summary(inventory) if any(node["reporter"] == who.name and not node["lost"] for node in inventory["nodes"]) else ""

    return until(reported, FIRST_REPORT_S)


def summary(inventory: Mapping[str, Any]) -> str:
    """``2 H100-80GB (simulated): 0.3 leased, 1.7 free``, of an answer of GET /gpu-pool/v1/inventory."""
    devices = [(device, node) for node in inventory["nodes"] for device in node["devices"]]
    if not devices:
        return "none known"
    models = Counter(f"{device['model']} {device['mig']}".strip() for device, _ in devices)
    simulated = " (simulated)" if all(node["simulated"] for node in inventory["nodes"]) else ""
    leased = sum(device["leased_milli"] for device, _ in devices) / 1000
    lost = sum(bool(node["lost"] or device["failed"]) for device, node in devices)
    free = sum(device["free_milli"] for device, node in devices if not (node["lost"] or node["cordoned"] or device["failed"])) / 1000
    kinds = ", ".join(f"{count} {model}" for model, count in sorted(models.items()))
    return f"{kinds}{simulated}: {leased:g} leased, {free:g} free" + (f", {lost} lost or failed" if lost else "")


def local_node(settings: Settings) -> str:
    """The node that this machine's agent reports; "" where it has no agent, or reports several (a cluster, a declared file of many)."""
    options = local_agent.options(settings)
    return "" if options.get("--token-file", CLUSTER_TOKEN).endswith(CLUSTER_TOKEN) else options["--reporter"]
