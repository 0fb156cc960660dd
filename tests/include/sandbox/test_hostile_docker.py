"""Hostile code in containers, on the engine of DOCKER_HOST: what it tries is refused, although its network is the machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from include.runtime.supervisor import Supervisor
from include.serving.docker import DockerHost
from include.serving.revisions import Revisions
from include.targets.containers import EngineAccess, EnginePlace
from include.targets.docker import DockerTarget
from tests.include.sandbox import contained
from tests.include.sandbox.skeleton import Platform
from tests.include.targets.engine import engine, with_image

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
MINE = {"was_root": False}
"""Its user is the worker's own."""


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with_image(engine(), "trainer")
    found = Platform()
    yield found
    found.close()


def test_hostile_code_of_a_step_gets_nothing_of_the_platforms(platform, tmp_path):
    target = DockerTarget(platform.settings, engine())
    environment = {"MLFLOW_TRACKING_URI": platform.settings.mlflow_door_url, "MLFLOW_TRACKING_TOKEN": "of-its-run"}
    got = contained.got_by_a_step(platform, target, tmp_path / "hostile", environment, **MINE)
    assert got.pop("allowed") == "fine"
    assert contained.not_refused(got, contained.INSIDE) == {}
    assert platform.victim.poll() is None


def test_a_hostile_wrapper_gets_nothing_of_the_platforms(platform, tmp_path):
    with_image(engine(), "triton")
    access, supervisor = EngineAccess.of({}, os.environ), Supervisor(platform.settings)
    host = DockerHost(platform.settings, supervisor, lambda: (access, EnginePlace(), access.client()))
    revisions = Revisions(platform.settings, supervisor, {"docker": lambda: host})
    got = contained.got_by_a_wrapper(platform, revisions, "docker", tmp_path, **MINE)
    assert contained.not_refused(got, (*contained.INSIDE, *contained.OF_STEPS)) == {}
    assert platform.victim.poll() is None
