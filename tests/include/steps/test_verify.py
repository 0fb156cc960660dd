import json
from pathlib import Path

import pytest

from include.bundles.golden import Golden
from include.bundles.signature import Signature
from include.verdict import Verdict
from tests.include.steps import samples
from tests.include.steps.conftest import Mlflow, Workshop

pytestmark = pytest.mark.integration

SCALED_FOREST = """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def train(X, y, params):
        return make_pipeline(StandardScaler(), RandomForestClassifier(30, random_state=0)).fit(X, y)
"""


def test_the_bundle_and_the_run_hold_what_is_served(workshop: Workshop, mlflow: Mlflow) -> None:
    model = workshop.model(samples.NETWORK, samples.digits())
    done = model.bundle()
    bundle = Path(done.result["bundle"])
    assert {path.name for path in bundle.iterdir()} == {
        "model.onnx",
        "signature.json",
        "manifest.json",
        "split.json",
        "golden.json",
        "optimization.json",
    }
    assert (bundle / "model.onnx").read_bytes() == (bundle.parents[2] / f"optimize-1/out/{done.result['chosen']}.onnx").read_bytes()
    assert Golden.read(bundle / "golden.json").rows > 20
    table = {row["name"]: row for row in json.loads((bundle / "optimization.json").read_text())["candidates"]}
    assert table["int8"]["size_bytes"] < table["plain"]["size_bytes"] and table["plain"]["speedup"] == [1, 1, 1]
    assert all(row["p50_us"]["1"] > 0 for row in table.values())
    assert Verdict.from_json(done.result["verdict"]).evidence["chosen"] == done.result["chosen"]
    assert mlflow.models(model.run_id) == ["model", "serving"]
    assert f"bundle/{'model.onnx'}" in mlflow.artifacts(model.run_id, "bundle")
    assert mlflow.metrics(model.run_id)["forms/int8_size_bytes"] == table["int8"]["size_bytes"]


def test_verifying_again_leaves_one_serving_model(workshop: Workshop, mlflow: Mlflow) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression")
    trained = model.train()
    optimised = model.optimize(trained)
    assert model.verify(trained, optimised).result
    again = model.verify(trained, optimised)
    assert again.result, again.message
    assert mlflow.tags(model.run_id)["updraft.served_form"] == again.result["chosen"]
    assert mlflow.models(model.run_id) == ["model", "serving"]


@pytest.mark.parametrize(
    ("code", "table", "task", "data"),
    [
        (samples.PIPELINE, samples.animals(), "classification", {"exclude": ["region"]}),
        (samples.RIDGE, samples.diabetes(), "regression", {}),
        (SCALED_FOREST, samples.blobs(), "classification", {}),
        (SCALED_FOREST, samples.blobs(classes=2), "classification", {}),
        (SCALED_FOREST, samples.blobs().assign(y=lambda t: t.y == 1), "classification", {}),
        (samples.returning("LinearSVC().fit(X, y)", "from sklearn.svm import LinearSVC"), samples.blobs(), "classification", {}),
        (
            samples.returning(
                "HistGradientBoostingRegressor(max_iter=20).fit(X, y)", "from sklearn.ensemble import HistGradientBoostingRegressor"
            ),
            samples.diabetes(),
            "regression",
            {},
        ),
        (
            samples.returning("KNeighborsRegressor().fit(X, y)", "from sklearn.neighbors import KNeighborsRegressor"),
            samples.diabetes(),
            "regression",
            {},
        ),
    ],
    ids=["mixed-text-labels", "ridge", "forest-3", "forest-2", "forest-bool", "svc-no-probabilities", "boosting", "neighbours"],
)
def test_every_kind_of_model_gets_through(workshop: Workshop, code, table, task, data) -> None:
    done = workshop.model(code, table, task=task, data=data).bundle()
    assert done.result, done.message
    bundle = Path(done.result["bundle"])
    signature, golden = Signature.read(bundle / "signature.json"), Golden.read(bundle / "golden.json")
    assert [tensor["name"] for tensor in golden.outputs] == [tensor.name for tensor in signature.outputs]


def test_an_export_that_answers_otherwise_fails_the_step(workshop: Workshop) -> None:
    honest = workshop.model(samples.RIDGE, samples.diabetes(), task="regression")
    trained = honest.train()
    optimised = honest.optimize(trained)
    golden = json.loads((optimised.out / "golden.json").read_text())
    golden["outputs"][0]["data"][3] += 10.0
    (optimised.out / "golden.json").write_text(json.dumps(golden))
    done = honest.verify(trained, optimised)
    assert done.error["kind"] == "input" and "does not answer as the model does" in done.message and "row 3" in done.message


def test_a_candidate_that_answers_otherwise_is_not_chosen(workshop: Workshop) -> None:
    model = workshop.model(samples.NETWORK, samples.digits(), optimize={"min_speedup": 1.0})
    trained = model.train()
    optimised = model.optimize(trained)
    other = workshop.model(samples.NETWORK.replace("random_state=0", "random_state=9").replace("X / 16", "-X"), samples.digits())
    wrong = other.optimize(other.train())
    (optimised.out / "graph.onnx").write_bytes((wrong.out / "plain.onnx").read_bytes())
    done = model.verify(trained, optimised)
    row = next(row for row in done.result["candidates"] if row["name"] == "graph")
    assert row["accurate"] is False and row["mismatches"] and done.result["chosen"] != "graph"


def test_mlflow_can_serve_the_logged_model(workshop: Workshop, mlflow: Mlflow, tmp_path: Path) -> None:
    import subprocess

    from include.runtime.settings import Settings

    model = workshop.model(samples.PIPELINE, samples.animals(), data={"exclude": ["region"]})
    done = model.bundle()
    program = (
        "import sys, json, numpy as np, mlflow.pyfunc\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "rows = {'colour': np.array([['black']], dtype=object), 'size': np.array([[3.0]], dtype='float32'),"
        " 'count': np.array([[2]], dtype=sys.argv[2])}\n"
        "print(json.dumps({name: array.tolist() for name, array in model.predict(rows).items()}))\n"
    )
    signature = Signature.read(Path(done.result["bundle"]) / "signature.json")
    command = [str(Settings.load().python("trainer")), "-c", program, done.result["model_uri"], signature.input("count").dtype.name]
    answer = subprocess.run(
        command, capture_output=True, text=True, env={"MLFLOW_TRACKING_URI": mlflow.url, "PATH": "/usr/bin:/bin"}, check=True
    )
    assert json.loads(answer.stdout)["label"] == [["dog"]]


def test_a_probe_that_the_plain_export_takes_for_an_error_ends_no_verification(workshop: Workshop, mlflow: Mlflow) -> None:
    code = """
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        def train(X, y, params):
            texts = [name for name in X if X[name].dtype == object]
            words = make_pipeline(
                SimpleImputer(missing_values="", strategy="constant", fill_value="unknown"),
                OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50),
            )
            columns = ColumnTransformer([("t", words, texts)], remainder="passthrough")
            return make_pipeline(columns, LogisticRegression(max_iter=500)).fit(X, y)
    """
    done = workshop.model(code, samples.animals()).bundle()
    assert done.result or "handle_unknown" in done.message or "min_frequency" in done.message, done.message
