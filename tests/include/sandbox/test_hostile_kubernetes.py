"""Hostile code in pods, on the cluster of KUBECONFIG: what it tries is refused, the cluster's API and its tokens among it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from include.runtime.supervisor import Supervisor
from include.serving.revisions import Revisions
from include.targets.kubernetes import KubernetesTarget
from tests.include.sandbox import contained
from tests.include.sandbox.skeleton import Platform
from tests.include.serving.kubernetes.cluster import host, needs_triton
from tests.include.targets.cluster import Space, needs_cluster, options

pytestmark = [pytest.mark.integration, needs_cluster, pytest.mark.timeout(600)]
UNBOUNDED = ("more_processes_than_allowed",)
"""The kubelet's to bound."""


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    found = Platform()
    found.settings.steps.mkdir(exist_ok=True)
    yield found
    found.close()


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    found = Space()
    yield found
    found.close()


@pytest.fixture(scope="module")
def reached(platform: Platform, space: Space) -> dict[str, object]:
    """Where a pod finds the cluster's API, and an address of the platform's machine, which answers there."""
    found = space.core.read_namespaced_service("kubernetes", "default").spec
    return {"cluster_api": (found.cluster_ip, found.ports[0].port)}


def test_hostile_code_of_a_step_gets_nothing_of_the_platforms(platform, space, reached, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    target = KubernetesTarget(platform.settings, space.api, space.name, options(platform.settings, folder))
    url = urlsplit(str(space.api.configuration.host))
    environment = {"MLFLOW_TRACKING_URI": f"http://{url.hostname}:{url.port}", "MLFLOW_TRACKING_TOKEN": "of-its-run"}
    got = contained.got_by_a_step(platform, target, folder / "hostile", environment, **reached, door=(url.hostname, url.port))
    assert got.pop("allowed") == "fine"
    assert contained.not_refused(got, (*contained.INSIDE, *UNBOUNDED)) == {}
    assert platform.victim.poll() is None


@needs_triton
def test_a_hostile_wrapper_gets_nothing_of_the_platforms(platform, space, reached, tmp_path):
    made = host(platform.settings, space)
    revisions = Revisions(platform.settings, Supervisor(platform.settings), {"kubernetes": lambda: made})

    def log() -> str:
        from include.kubernetes.client import RAW

        (pod,) = (name for name in space.pods() if name.startswith("revision-hostile-1-"))
        return str(space.core.read_namespaced_pod_log(pod, space.name, **RAW).data.decode())

    got = contained.got_by_a_wrapper(platform, revisions, "kubernetes", tmp_path, log, **reached)
    assert contained.not_refused(got, (*contained.INSIDE, *contained.OF_STEPS)) == {}
    assert platform.victim.poll() is None
