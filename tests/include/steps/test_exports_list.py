"""docs/exports.md says what the command that makes it finds, estimator by estimator: a sample is tried again."""

import os
import subprocess

import pytest

from include.runtime.settings import REPO, Settings

pytestmark = pytest.mark.integration

PROGRAM = """
import warnings
from bench.formats.exports import _cell, estimators, tried
warnings.filterwarnings("ignore")
for kind, name in (
    ("classifier", "DummyClassifier"),
    ("classifier", "RandomForestClassifier"),
    ("booster", "LGBMClassifier"),
    ("transformer", "KNNImputer"),
):
    _, complete, missing = tried(name, kind, dict(estimators(kind))[name])
    print(f"| {name} | {_cell(complete)} | {_cell(missing)} |")
"""


def test_a_sample_of_the_list_comes_out_as_it_says() -> None:
    python = str(Settings.load().python("trainer"))
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    found = subprocess.run([python, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    listed = (REPO / "docs" / "exports.md").read_text().splitlines()
    assert len(found) == 4 and all(line in listed for line in found), [line for line in found if line not in listed]
    assert "## Transformers" in listed
