"""A run whose steps are pods, on the cluster of KUBECONFIG, whose one node is this machine and has the trainer's image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.platform import one_node as cluster
from include.targets import images
from tests.include.targets.cluster import Way, connect
from tests.journey.killing import task_process
from tests.journey.site import SERVED, Site
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1500)]
START_S = 300
AWAY_S = 60
TRAIN = """\
import os
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression


def train(X, y, params):
    kept = Path(os.environ["UPDRAFT_CHECKPOINTS"]) / "epoch"
    done = int(kept.read_text()) if kept.exists() else 0
    print(f"goes on after epoch {done}", flush=True)
    for epoch in range(done, int(params["seconds"])):
        time.sleep(1)
        kept.write_text(str(epoch + 1))
    return LogisticRegression(C=params["strength"], max_iter=5000).fit(X, y)
"""


class Cluster:
    """The platform's namespace, seen past the way that its own workers take."""

    def __init__(self, site: Site) -> None:
        from kubernetes import client

        self.core = client.CoreV1Api(connect())
        self.namespace = cluster.namespace(site.settings)

    def training(self) -> str:
        """The uid of the pod that trains; "" while none runs."""
        for pod in self.core.list_namespaced_pod(self.namespace).items:
            if pod.metadata.name.endswith("-train") and pod.status.phase == "Running" and not pod.metadata.deletion_timestamp:
                return str(pod.metadata.uid)
        return ""

    def drain(self) -> None:
        """What `kubectl drain` does to the pod that trains."""
        for pod in self.core.list_namespaced_pod(self.namespace).items:
            if pod.metadata.name.endswith("-train"):
                eviction = {"metadata": {"name": pod.metadata.name}}
                self.core.create_namespaced_pod_eviction(pod.metadata.name, self.namespace, eviction, _preload_content=False)


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    """To the API server, for the workers."""
    if "UPDRAFT_TEST_CLUSTER" not in os.environ or "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG, UPDRAFT_TEST_CLUSTER not set: makes pods on a cluster whose one node is this machine")
    if not any(told.endswith(images.name("trainer")) for told in cluster.one_node().images):
        pytest.skip(f"the node has no image {images.name('trainer')}")
    found = Way(connect().configuration.host)
    yield found
    found.close()


@pytest.fixture(scope="module")
def podded(way: Way) -> Iterator[Site]:
    site = Site()
    (site.models / SERVED / "train.py").write_text(TRAIN)
    config: dict[str, Any] = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    for one in config["clusters"]:
        one["cluster"]["server"] = way.url
    path = site.models.parent / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    site.environment |= {"UPDRAFT_TARGET": "kubernetes", "KUBECONFIG": str(path)}
    try:
        site.up()
        yield site
    finally:
        site.close()
        Cluster(site).core.delete_namespace(cluster.namespace(site.settings))


def test_a_run_is_promoted_though_its_worker_dies_the_api_server_goes_away_and_its_node_is_drained(podded: Site, way: Way):
    run, there = podded.trigger(seconds=240.0), Cluster(podded)
    podded.wait(run, "train", "running", timeout_s=START_S)
    until(there.training, START_S, "the training's pod")
    first = there.training()
    until(lambda: epoch(podded), START_S, "a first checkpoint")
    task_process(podded, "train", "")
    podded.wait(run, "train", "up_for_retry", "queued", "scheduled")
    until(lambda: "Step train runs as" in log(podded, run), START_S, "the next try follows the step")
    assert there.training() == first, "the pod outlives the worker, and the retry follows it"
    before = epoch(podded)
    way.cut()
    until(lambda: epoch(podded) >= before + AWAY_S, START_S, "a minute without the API server")
    assert podded.states(*run)["train"] == "running" and "gives no answer" in log(podded, run)
    way.open = True
    assert there.training() == first
    before = epoch(podded)
    there.drain()
    until(lambda: there.training() not in ("", first), START_S, "another pod")
    assert "taken away" in log(podded, run)
    ended = podded.end(run, timeout_s=900)
    assert ended.state == "success" and ended.tasks["promote"] == "success", ended
    went_on = int(trained(podded).partition("goes on after epoch ")[2].split()[0])
    assert went_on >= before, "what was learned before the drain is not learned again"
    assert not there.core.list_namespaced_pod(there.namespace).items
    podded.settled(podded.version(ended))


def test_a_second_run_is_compared_with_the_champion_in_its_pod(podded: Site):
    if "champion" not in podded.aliases:
        assert podded.end(podded.trigger(), timeout_s=900).state == "success"
    run = podded.trigger()
    podded.wait(run, "evaluate", "success", timeout_s=900)
    assert podded.xcom(*run, "evaluate")["champion_version"] == podded.aliases["champion"]


def log(site: Site, run: tuple[str, str]) -> str:
    """Of the training's second try; "" while there is none."""
    tries = site.api.get(f"/api/v2/dags/{run[0]}/dagRuns/{run[1]}/taskInstances/train")["try_number"]
    return site.log(run, "train", 2) if tries >= 2 else ""


def epoch(site: Site) -> int:
    """How far the training's checkpoint is."""
    found = [path.read_text() for path in site.settings.steps.glob("*/checkpoints/table.train-*/epoch")]
    return max((int(text) for text in found if text), default=0)


def trained(site: Site) -> str:
    """What the last training has printed."""
    return next(iter(site.settings.steps.glob("*/table.train/log.txt"))).read_text()
