import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.gates.evaluation import Disagreement, Evaluation
from include.gates.gate import gate
from include.monitoring.rows import Reference
from include.spec.schema import Gate
from include.verdict import Decision
from tests.include.steps import samples
from tests.include.steps.conftest import Mlflow, Workshop

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def champion(workshop: Workshop) -> Path:
    """A good classifier's bundle, as it would serve."""
    model = workshop.model(samples.PIPELINE, samples.animals(), data={"exclude": ["region"]})
    return Path(model.bundle().result["bundle"])


def test_figures_with_intervals_slices_and_charts_are_written_and_logged(workshop: Workshop, mlflow: Mlflow) -> None:
    model = workshop.model(samples.PIPELINE, samples.animals(), data={"exclude": ["region"]}, gate={"slices": ["region", "size"]})
    done = model.evaluate(model.train())
    evaluation = Evaluation.read(Path(done.result["evaluation"]))
    assert set(evaluation.scores) >= {"accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc_ovr", "brier", "recall/dog"}
    for score in evaluation.scores.values():
        assert score.low <= score.value <= score.high
    assert evaluation.scores["accuracy"].low < evaluation.scores["accuracy"].high
    assert {part.column for part in evaluation.slices} == {"region", "size"}
    for column in ("region", "size"):
        assert sum(part.rows for part in evaluation.slices if part.column == column) == evaluation.rows
    matrix = np.array(evaluation.charts["confusion"]["rows_true_columns_predicted"])
    assert matrix.sum() == evaluation.rows and np.trace(matrix) / evaluation.rows == pytest.approx(evaluation.scores["accuracy"].value)
    assert mlflow.metrics(model.run_id)["test/accuracy"] == evaluation.scores["accuracy"].value
    assert {"evaluation.json", "reference.parquet"} <= set(mlflow.artifacts(model.run_id))
    known = Reference.of(pd.read_parquet(Path(done.result["evaluation"]).with_name("reference.parquet")), classification=True)
    assert 1 - known.loss.mean() == pytest.approx(evaluation.scores["accuracy"].value) and len(known.confidence) == evaluation.rows
    assert evaluation.champion is None


def test_regression_has_its_own_figures_and_charts(workshop: Workshop) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression")
    evaluation = Evaluation.read(Path(model.evaluate(model.train()).result["evaluation"]))
    assert set(evaluation.scores) == {"r2", "mae", "rmse", "median_ae", "mape", "wape"}
    assert sum(evaluation.charts["residuals"]["counts"]) == evaluation.rows
    assert evaluation.charts["predicted_vs_actual"]


def test_an_equal_challenger_passes_beside_the_champion(workshop: Workshop, champion: Path) -> None:
    model = workshop.model(samples.PIPELINE, samples.animals(), data={"exclude": ["region"]}, gate={"slices": ["region"]})
    done = model.evaluate(model.train(), champion=str(champion), champion_version="7")
    evaluation = Evaluation.read(Path(done.result["evaluation"]))
    assert evaluation.champion.version == "7"
    assert evaluation.champion.scores["accuracy"].value == evaluation.scores["accuracy"].value
    assert evaluation.champion.scores["log_loss"].value == pytest.approx(evaluation.scores["log_loss"].value, abs=1e-5)
    assert all(part.comparison.difference == 0 for part in evaluation.slices)
    assert evaluation.champion.disagreement == Disagreement(evaluation.rows, 0)
    assert gate(evaluation, Gate(min_score=0.8, slices=("region",))).decision is Decision.PASS


def test_a_worse_challenger_is_caught_beside_the_champion(workshop: Workshop, champion: Path) -> None:
    worse = samples.returning("DummyClassifier().fit(X, y)", "from sklearn.dummy import DummyClassifier")
    model = workshop.model(worse, samples.animals(), data={"exclude": ["region"]})
    evaluation = Evaluation.read(Path(model.evaluate(model.train(), champion=str(champion), champion_version="7").result["evaluation"]))
    assert evaluation.champion.disagreement.differ > 0
    verdict = gate(evaluation, Gate(min_score=0.1))
    assert verdict.decision is Decision.FAIL
    assert [rule.name for rule in verdict.rules if rule.passed is False] == ["not worse than champion"]


def test_a_champion_is_asked_with_its_own_features_while_the_data_has_them(workshop: Workshop, champion: Path) -> None:
    fewer = samples.returning("LogisticRegression().fit(X, y)", "from sklearn.linear_model import LogisticRegression")
    model = workshop.model(fewer, samples.animals(), data={"features": ["size", "count"]})
    evaluation = Evaluation.read(Path(model.evaluate(model.train(), champion=str(champion), champion_version="7").result["evaluation"]))
    assert evaluation.champion.not_comparable == "" and evaluation.champion.comparison.rows == evaluation.rows


def test_a_champion_whose_columns_are_gone_is_not_comparable(workshop: Workshop, champion: Path) -> None:
    fewer = samples.returning("LogisticRegression().fit(X, y)", "from sklearn.linear_model import LogisticRegression")
    model = workshop.model(fewer, samples.animals().drop(columns=["colour", "region"]))
    done = model.evaluate(model.train(), champion=str(champion), champion_version="7")
    evaluation = Evaluation.read(Path(done.result["evaluation"]))
    assert "colour" in evaluation.champion.not_comparable and evaluation.champion.comparison is None


def test_a_new_class_that_the_champion_never_saw_counts_against_it_alone(workshop: Workshop, champion: Path) -> None:
    table = samples.animals()
    table.loc[table["size"] > 2, "y"] = "elephant"
    model = workshop.model(samples.PIPELINE, table, data={"exclude": ["region"]})
    evaluation = Evaluation.read(Path(model.evaluate(model.train(), champion=str(champion), champion_version="7").result["evaluation"]))
    assert "elephant" in evaluation.charts["confusion"]["labels"]
    assert evaluation.champion.scores["accuracy"].value < evaluation.scores["accuracy"].value


def test_a_broken_champion_file_is_a_component_error(workshop: Workshop, champion: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    (tmp_path / "signature.json").write_text((champion / "signature.json").read_text())
    model = workshop.model(samples.PIPELINE, samples.animals(), data={"exclude": ["region"]})
    done = model.evaluate(model.train(), champion=str(tmp_path), champion_version="7")
    assert done.error["kind"] == "component" and "model.onnx" in done.message


def test_the_evaluation_is_plain_json(workshop: Workshop) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression")
    path = Path(model.evaluate(model.train()).result["evaluation"])
    assert json.loads(path.read_text()) == Evaluation.read(path).to_json()


BOOSTED = samples.returning(
    "HistGradientBoostingClassifier(max_iter=3).fit(X, y)", "from sklearn.ensemble import HistGradientBoostingClassifier"
)
NETWORK = samples.returning("MLPClassifier((4,), max_iter=5).fit(X, y)", "from sklearn.neural_network import MLPClassifier")


def test_the_gate_and_verify_say_one_thing_of_an_api(workshop: Workshop, tmp_path: Path) -> None:
    """The champion took missing numbers, the new model takes none: callers who leave some out would be refused from then on."""
    before = workshop.model(BOOSTED, samples.blobs()).bundle().result["bundle"]
    model = workshop.model(NETWORK, samples.blobs())
    trained = model.train()
    evaluation = Evaluation.read(Path(model.evaluate(trained, champion=before, champion_version="7").result["evaluation"]))
    [said, *_] = evaluation.api_changes
    assert said.endswith("is refused where it is missing, and was not")
    optimised = model.optimize(trained)
    refused = model.step("verify", model=trained.result["model"], optimized=optimised.result["folder"], champion=before)
    assert said in refused.message and "gate.allow_api_change" in refused.message
