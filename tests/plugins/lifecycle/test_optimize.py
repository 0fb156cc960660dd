"""The tasks optimize and verify, where the spec names TensorRT's plans: which runtime, and what becomes of them without such a GPU."""

import pytest
from airflow.sdk.exceptions import AirflowFailException

from gpu_pool.operators import holding
from include.errors import InputError
from include.kinds.load import load
from lifecycle.operators import step
from lifecycle.operators.optimize import Optimize, Verify
from lifecycle.run import Run

MODEL = "name: thing\ntask: regression\ndata: {source: 'data:load', target: y}\nserve: {resources: {gpus: 1}}\noptimize: "
NO_SUCH_GPU = InputError("no node has a L4; there are T4.")


class Target:
    """One that lacks runtimes, or a GPU."""

    local = False

    def __init__(self, *runtimes: str, gpu: bool = True) -> None:
        self._runtimes, self._gpu = runtimes, gpu

    def identity(self, runtime):
        if runtime not in self._runtimes:
            raise InputError(f"runtime {runtime} is not installed.")
        return "1"

    def finished(self, request, runtime):
        return False

    def check_gpu(self, runtime):
        self.identity(runtime)
        if not self._gpu:
            raise InputError("the Docker host has no GPU.")

    def narrow(self, ask):
        return ask


class Pool:
    """One in which there is no such GPU."""

    def submit(self, key, ask):
        raise NO_SUCH_GPU


@pytest.fixture
def task(tmp_path, monkeypatch):
    """Runs the task on a spec with this ``optimize`` part; the result is the runtime that its step got, without a lease."""
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "data.py").write_text("def load():\n    ...\n")
    (folder / "train.py").write_text("def train(X, y, params):\n    ...\n")
    (folder / "expectations.yaml").write_text("expectations: []\n")

    def task(kind, text, target):
        path = folder / "model.yaml"
        path.write_text(MODEL + text)
        run = Run("k", path, load(path), {})
        monkeypatch.setattr(step, "target_of", lambda run, *lease, **place: target)
        monkeypatch.setattr(holding.PoolClient, "connect", Pool)
        monkeypatch.setattr(holding, "key_of", lambda context: "key")
        operator = kind(task_id="it", spec_path=str(path))
        monkeypatch.setattr(operator, "resolve", lambda run, context: {})
        monkeypatch.setattr(operator, "run_step", lambda run, inputs, holder=None: {"runtime": operator.runtime(run), "holder": holder})
        return step.StepOperator.run(operator, run, {})

    return task


PLANS = "{methods: [graph, tensorrt_fp16], resources: {gpus: 1, models: [L4]}}"
DEMANDED = "{methods: [tensorrt_fp16], resources: {gpus: 1, models: [L4]}, tensorrt: {required: true}}"
BOTH = ("trainer", "tensorrt")


@pytest.mark.parametrize("kind", [Optimize, Verify])
def test_a_gpu_that_nobody_has_leaves_the_other_methods(task, kind):
    assert task(kind, PLANS, Target(*BOTH)) == {"runtime": "tensorrt", "holder": None}


def test_a_host_without_gpus_leaves_the_other_methods(task):
    assert task(Optimize, PLANS, Target(*BOTH, gpu=False)) == {"runtime": "tensorrt", "holder": None}


def test_a_missing_runtime_leaves_the_other_methods(task):
    assert task(Optimize, PLANS, Target("trainer"))["runtime"] == "trainer"


def test_without_resources_no_gpu_is_asked_for(task):
    assert task(Optimize, "{methods: [tensorrt_fp16]}", Target(*BOTH)) == {"runtime": "trainer", "holder": None}


def test_a_spec_that_demands_a_plan_fails_in_the_pools_words(task):
    with pytest.raises(AirflowFailException, match="no node has a L4"):
        task(Optimize, DEMANDED, Target(*BOTH))


def test_a_spec_that_demands_a_plan_needs_the_runtime(task):
    with pytest.raises(InputError, match="runtime tensorrt is not installed"):
        task(Optimize, DEMANDED, Target("trainer"))


def test_a_gpu_asked_for_without_plans_is_still_an_error(task):
    with pytest.raises(AirflowFailException, match="no node has a L4"):
        task(Optimize, "{methods: [graph], resources: {gpus: 1, models: [L4]}}", Target(*BOTH))
