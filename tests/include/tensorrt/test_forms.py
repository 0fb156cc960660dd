"""Real exports in plain ONNX and in every precision, answered by ONNX Runtime."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from include.runtime.settings import REPO, Settings

pytestmark = pytest.mark.integration

LINEAR = ["logistic", "logistic of two classes", "normalised", "ridge"]
NETWORKS = ["network", "network of two classes", "regression network"]


@pytest.fixture(scope="module")
def found():
    maker = Path(__file__).with_name("make_forms.py")
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [str(Settings.load().python("trainer")), str(maker)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", LINEAR + NETWORKS)
def test_plain_onnx_says_the_same(found, name):
    assert found[name]["foreign"] == [] and found[name]["batch"] == "batch"
    assert found[name]["plain"]["labels"] == 0 and found[name]["plain"]["numbers"] < 1e-4


def test_what_has_no_equal_in_plain_onnx_is_named(found):
    assert found["trees"]["foreign"] == ["TreeEnsembleClassifier"]


@pytest.mark.parametrize("name", ["network", "network of two classes", "logistic", "normalised"])
def test_half_precision_keeps_the_labels(found, name):
    assert found[name]["fp16"]["labels"] < 0.01 and 0 < found[name]["fp16"]["numbers"] < 0.01


@pytest.mark.parametrize("name", LINEAR + NETWORKS)
def test_int8_is_in_the_graph_as_tensorrt_wants_it(found, name):
    assert {"QuantizeLinear", "DequantizeLinear", "MatMul"} <= set(found[name]["int8"]["operations"])
    assert not {"QLinearMatMul", "DynamicQuantizeLinear"} & set(found[name]["int8"]["operations"])


def test_int8_of_a_network_keeps_the_labels(found):
    assert found["network"]["int8"]["labels"] < 0.02


def test_the_8_bit_form_for_processors_answers_alike_on_those_that_saturate(found):
    assert 0 < found["served"]["largest"] <= 64  # 255 × 64 × 2 fits 16 bits
    assert found["served"]["fused"] == {"numbers": pytest.approx(0, abs=1e-3), "labels": 0}


def test_fp8_without_modelopt_is_said(found):
    assert found["network"]["fp8"] == "NVIDIA ModelOpt could not make fp8: it is not installed in this runtime"
    assert found["trees"]["fp8"].startswith("no MatMul, Gemm or Conv to quantise; the graph is made of")
