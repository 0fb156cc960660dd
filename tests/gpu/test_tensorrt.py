"""TensorRT itself: plans of every precision, built, judged and built anew. Skipped where there is no GPU; never yet run on one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.runtime.settings import Settings
from tests.gpu.conftest import LEASE
from tests.include.steps import samples
from tests.include.steps.conftest import TABLE_MODULES, Mlflow, Model, Trainer, Workshop

pytestmark = pytest.mark.timeout(1800)
METHODS = ["tensorrt_fp32", "tensorrt_fp16", "tensorrt_int8", "tensorrt_fp8"]
GPU = {"resources": {"gpus": 1}}
NETWORK = samples.returning(
    "make_pipeline(MinMaxScaler(), MLPClassifier((256, 64), max_iter=40, random_state=0)).fit(X, y)",
    "from sklearn.neural_network import MLPClassifier\n"
    "from sklearn.pipeline import make_pipeline\n"
    "from sklearn.preprocessing import MinMaxScaler\n",
)


@pytest.fixture(scope="module")
def runtime(mlflow_url: str) -> Iterator[Trainer]:
    if not Settings.load().python("tensorrt").exists():
        pytest.skip("runtime tensorrt is not installed: make install-tensorrt")
    host = Trainer(mlflow_url, "tensorrt", TABLE_MODULES)
    yield host
    host.close()


@pytest.fixture
def model(runtime: Trainer, mlflow: Mlflow, tmp_path: Path, uuid: str) -> Model:
    optimize = {"methods": METHODS, "max_score_drop": 0.05, **GPU}
    serve = {**GPU, "max_batch_size": 32, "preferred_batch_sizes": [1, 32]}
    made = Workshop(tmp_path, runtime, mlflow).model(NETWORK, samples.digits(1797), optimize=optimize, serve=serve)
    made.environment = {"CUDA_VISIBLE_DEVICES": uuid, "UPDRAFT_GPU_LEASE": LEASE, "UPDRAFT_HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    return made


def test_plans_of_every_precision_answer_as_the_original(model: Model) -> None:
    trained = model.train()
    optimised = model.optimize(trained)
    assert optimised.result, optimised.message
    reasons = {one["name"]: one["reason"] for one in json.loads((optimised.out / "candidates.json").read_text())}
    assert not any(reasons[name] for name in METHODS[:3]), reasons
    assert not reasons["tensorrt_fp8"] or "8.9 or newer" in reasons["tensorrt_fp8"]
    assert list((model.home.parent / "home" / "tensorrt").glob("sm*.timing"))
    verified = model.verify(trained, optimised)
    assert verified.result, verified.message
    rows = {row["name"]: row for row in verified.result["candidates"]}
    assert all(rows[name]["accurate"] for name in METHODS[:3]), rows


def test_a_plan_of_another_gpu_is_built_anew(model: Model) -> None:
    trained = model.train()
    optimised = model.optimize(trained)
    sheet = optimised.out / "tensorrt_fp16" / "plan.json"
    sheet.write_text(sheet.read_text().replace('"name": "', '"name": "Another '))
    verified = model.verify(trained, optimised)
    assert "the plan is built anew: it was built on Another" in verified.log
    assert next(row for row in verified.result["candidates"] if row["name"] == "tensorrt_fp16")["accurate"]
