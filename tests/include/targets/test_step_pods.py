"""What both targets of a cluster make of a step and leave of it, at a stand-in for the API server."""

import json
import os
from dataclasses import replace

import pytest

from include.errors import InputError
from include.runtime.sandbox.ports import VARIABLE
from include.runtime.settings import Settings
from include.steps.context import StepRequest
from include.targets.kubernetes import KubernetesTarget
from include.targets.step_pods import name_of
from include.targets.target import StepState
from include.targets.trainjob import GangTarget
from tests.include.kubernetes.api_server import api_server
from tests.include.targets import cluster

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="folders are handed over to the step's user by root alone")


@pytest.fixture
def server():
    with api_server() as found:
        yield found


@pytest.fixture(params=[KubernetesTarget, GangTarget], ids=["pod", "gang"])
def target(request, tmp_path, server):
    settings = replace(Settings.load(), home=tmp_path / "home")
    settings.steps.mkdir(parents=True)
    (tmp_path / "models").mkdir()
    options = cluster.options(settings, tmp_path / "models", trainer="trainjob", image="example.org/trainer:1")
    return request.param(settings, server.client(), "ns", options, patience_s=0)


@pytest.fixture
def asked(tmp_path):
    return StepRequest("table.train", "run-1", str(tmp_path / "models"), {}, nodes=2, workers=2)


def test_a_step_is_made_once_seen_alive_and_leaves_nothing(target, asked, server):
    step = target.submit(asked, "trainer", {"SECRET": "hush"})
    kinds = {plural for plural, _ in server.objects}
    assert "secrets" in kinds and kinds & {"pods", "trainjobs"}
    made = json.dumps([body for (plural, _), body in server.objects.items() if plural != "secrets"])
    assert f'"name": "{VARIABLE}"' in made  # user code has the ports alone that it may use, of several pods as of one
    assert target.state(step) is StepState.RUNNING
    assert target.submit(asked, "trainer", {"SECRET": "hush"}) == step
    assert sum(method == "POST" and path.endswith("secrets") for method, path in server.asked) == 1
    target.kill(step)
    assert not server.objects
    assert target.state(step) is StepState.FAILED


def test_a_step_that_the_cluster_refuses_leaves_no_secret(target, asked, server):
    server.refuses = dict.fromkeys(("pods", "trainjobs"), (403, "exceeded quota: gpus"))
    with pytest.raises(InputError, match="quota is used up: gpus"):
        target.submit(asked, "trainer", {"SECRET": "hush"})
    assert ("secrets", name_of(target_step(target, asked))) not in server.objects
    assert not server.objects


def target_step(target, asked):
    from include.targets.target import step_of

    return step_of(target._settings, asked.run_key, asked.step)
