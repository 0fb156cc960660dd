"""A server of its own with a pool in a lively state: leases, a notice, a queue, quotas, foreign memory, a cordoned node."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.plugins.gpu_pool.api.conftest import Served, serving
from tests.plugins.lifecycle.ui.conftest import browser as browser

EVIL = "<img src=x onerror=alert(1)>"


@dataclass
class Stage:
    """A reporter of two nodes, kept alive by :meth:`report`; requests by several holders."""

    served: Served
    token: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def report(self, foreign_mib: int = 30_000) -> None:
        nodes = [
            {"name": "rack/gpu-a", "labels": {"zone": "a", "nvlink": "yes"}, "devices": [device("a", n) for n in range(4)]},
            {"name": "rack/gpu-b", "labels": {"zone": "b"}, "devices": [device("b", n, "L40S", 46_068, "mps") for n in range(2)]},
            {"name": "rack/gpu-c", "labels": {"zone": "c"}, "devices": [device("c", n) for n in range(2)]},
            {"name": "rack/spot", "devices": [device("s", 0)], "burst": {"price_per_hour": 2.5, "boot_s": 180, "spot": True}},
        ]
        nodes[1]["devices"][1] |= {"used_mib": foreign_mib, "processes": [{"pid": 7, "name": EVIL, "memory_mib": foreign_mib}]}
        nodes[2]["devices"][1]["failed"] = "Xid 79: GPU has fallen off the bus"
        body = {"source": "declared", "sequence": next(self.numbers), "clock": time.time(), "nodes": nodes}
        answer = self.served.call("PUT", "reports/rack", token=self.token, json=body)
        assert answer.status_code == 200, answer.text

    def ask(self, key: str, **ask: Any) -> dict[str, Any]:
        answer = self.served.post("requests", {"key": key, "ttl_s": 3600, **ask})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def have_used(self, dag: str, *peaks_mib: int) -> None:
        """A task's leases have ended, each of which was seen to use so much."""
        with sqlite3.connect(self.served.database.removeprefix("sqlite:///"), timeout=30) as database:
            for run, peak in enumerate(peaks_mib):
                lease = self.ask(f"{dag}/r{run}/embed/-1", fraction=0.2, team="vision")["lease"]
                self.served.post(f"leases/{lease['id']}/release", {"token": lease["token"]})
                database.execute("UPDATE updraft_gpu_lease SET peak_mib = ? WHERE id = ?", (peak, lease["id"]))
                database.commit()


def device(node: str, index: int, model: str = "H100-80GB", memory_mib: int = 81_559, sharing: str = "") -> dict[str, Any]:
    readings = {"utilisation_pct": 17.0 * index + 20, "temperature_c": 41.0 + index, "power_w": 180.0 + 30 * index}
    return {
        "uuid": f"GPU-{node}{index}", "index": index, "model": model, "memory_mib": memory_mib, "sharing": sharing, "readings": readings,
    }  # fmt: skip


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("served")
    with serving(home, f"sqlite:///{home / 'airflow.db'}") as (served, _):
        made = Stage(served, served.post("agents/rack", {"cluster": True}, "anna").json()["token"])
        made.report()
        for team, guaranteed, limit in (("vision", 0.2, 4), ("language", 3, None)):
            served.call("PUT", f"quotas/{team}", "anna", json={"guaranteed": guaranteed, "limit": limit})
        made.ask(
            "digits_lifecycle/manual__2026-11-21/train/-1",
            gpus=2,
            team="vision",
            priority=4,
            duration_s=5400,
            grace_s=240,
            labels={"zone": "a"},
        )
        made.ask(f"notebook of {EVIL}", gpus=2, team="research", priority=2, duration_s=1800, grace_s=240, labels={"zone": "a"})
        made.ask("embedder", fraction=0.35, team="language", priority=6, preemptible=False)
        made.ask("reranker", fraction=0.25, team="vision", priority=5)
        made.ask("finetune/scheduled__1/train/0", gpus=4, team="language", priority=8, duration_s=7200, labels={"zone": "a"})
        made.ask("sweep/1", gpus=2, team="research", priority=3, duration_s=600, models=["H100-80GB"])
        made.have_used("nightly", 5_000, 5_600, 5_200)
        served.post("nodes/rack%2Fgpu-c/cordon", {"reason": "a GPU is to be replaced"}, "anna")
        yield made
