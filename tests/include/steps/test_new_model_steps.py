"""A file of data as a spreadsheet writes it becomes a model by the answers of a script, and the steps of a run train it and bundle it."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.data.validate import validate
from include.kinds.load import load_as
from include.new_model.__main__ import main
from include.spec.schema import ModelSpec
from include.verdict import Decision
from tests.include.new_model import files
from tests.include.steps.conftest import Mlflow, Model, Trainer

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("template", "target"), [("boosted", "gekündigt"), ("tabular", "Umsatz")])
def test_from_a_messy_file_to_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: Trainer, mlflow: Mlflow, template: str, target: str
) -> None:
    monkeypatch.setenv("UPDRAFT_MODELS", str(tmp_path))
    data = files.german(tmp_path / "Kunden (Export).csv", files.customers())
    given = ["--data", str(data), "--name", "thing", "--target", target, "--template", template]
    assert main(given) == 0
    model = Model(tmp_path, trainer, mlflow.new_run())
    extracted = model.step("extract")
    assert extracted.result, extracted.message
    spec = load_as(tmp_path / "thing" / "model.yaml", ModelSpec)
    docs = tmp_path / "docs"
    verdict = validate(Path(extracted.result["table"]), tmp_path / "thing" / "expectations.yaml", docs, name="thing", csv=spec.data.csv)
    assert verdict.decision is Decision.PASS, verdict.reasons
    model_table = {"table": extracted.result["table"]}
    trained = model.step("train", **model_table)
    assert trained.result, trained.message
    evaluated = model.step("evaluate", model=trained.result["model"], **model_table)
    assert evaluated.result, evaluated.message
    optimized = model.step("optimize", model=trained.result["model"], **model_table)
    assert optimized.result, optimized.message
    verified = model.step("verify", model=trained.result["model"], optimized=optimized.result["folder"], **model_table)
    assert verified.result, verified.message
