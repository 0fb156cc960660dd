"""A version of MLflow's registry that is brought: its ONNX flavour is taken, and nothing else of it is opened."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.bundles.signature import Signature
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.runtime.settings import Settings
from include.spec.problem import SpecError
from tests.include.steps.conftest import Model
from tests.include.steps.test_tensor_steps import brought, files, judged, refused, rows

__all__ = ["brought", "files"]
pytestmark = pytest.mark.integration
REGISTER = """
import sys, mlflow, onnx, mlflow.onnx, mlflow.sklearn
from sklearn.dummy import DummyClassifier

mlflow.set_experiment("theirs")
with mlflow.start_run():
    mlflow.onnx.log_model(onnx.load(sys.argv[1]), name="m", registered_model_name="flowers")
    never = DummyClassifier().fit([[1]], [1])
    mlflow.sklearn.log_model(never, name="n", registered_model_name="pickled", serialization_format="cloudpickle")
"""


def of_version(model: Model, base: str) -> Path:
    path = model.home / "thing" / "model.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"base": base}))
    (model.home / "thing" / "model.onnx").unlink()
    return path


def test_a_registered_onnx_model_is_brought_and_a_pickled_one_is_not(brought: Any, files: Path, mlflow_url: str, tmp_path: Path) -> None:
    python = str(Settings.load().python("trainer"))
    own = os.environ | {"MLFLOW_TRACKING_URI": mlflow_url}
    subprocess.run([python, "-c", REGISTER, str(files / "external.onnx")], check=True, env=own, cwd=tmp_path, capture_output=True)
    model = brought("good", rows(files))
    path = of_version(model, "models:/flowers/1")
    spec = load(path)
    assert kind_of(spec).bases(spec) == ("models:/flowers/1",), "the run's identity may read it"
    evaluation, folder = judged(model)
    assert evaluation["scores"]["accuracy"]["value"] == 1 and Signature.read(folder / "signature.json").classes == (0, 1, 2)
    for base, why in (
        ("models:/pickled/1", "has the flavours python_function, sklearn, and onnx is not among them"),
        ("models:/flowers/7", "MLflow has no such model"),
    ):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"base": base}))
        shutil.rmtree(model.home / "steps")
        assert why in refused(model)


def test_a_name_without_a_version_is_refused_by_the_check(brought: Any, files: Path) -> None:
    path = of_version(brought("good", rows(files)), "models:/flowers@champion")
    with pytest.raises(SpecError, match="names no version of a model"):
        load(path)
