import json
from pathlib import Path

import pytest

from include.bundles.golden import Golden
from include.bundles.signature import Signature, Tensor
from tests.include.steps import samples
from tests.include.steps.conftest import Workshop

pytestmark = pytest.mark.integration


def optimised(workshop: Workshop, *args, **kwargs) -> Path:
    model = workshop.model(*args, **kwargs)
    done = model.optimize(model.train())
    assert done.result, done.message
    return done.out


def test_numbers_become_one_tensor_and_every_form_is_made(workshop: Workshop) -> None:
    out = optimised(workshop, samples.NETWORK, samples.digits())
    assert {path.name for path in out.iterdir()} >= {"plain.onnx", "graph.onnx", "int8.onnx", "golden.json", "signature.json"}
    signature = Signature.read(out / "signature.json")
    assert signature.inputs == (Tensor("input", "FP32", (-1, 64)),)
    assert signature.outputs == (Tensor("label", "INT64", (-1, 1)), Tensor("probabilities", "FP32", (-1, 10)))
    assert signature.classes == tuple(range(10)) and signature.features == tuple(f"p{n}" for n in range(64))
    assert (out / "int8.onnx").stat().st_size < (out / "plain.onnx").stat().st_size


def test_mixed_columns_become_a_tensor_each(workshop: Workshop) -> None:
    out = optimised(workshop, samples.PIPELINE, samples.animals(), data={"exclude": ["region"]})
    signature = Signature.read(out / "signature.json")
    assert [(tensor.name, tensor.shape) for tensor in signature.inputs] == [("colour", (-1, 1)), ("size", (-1, 1)), ("count", (-1, 1))]
    assert signature.input("colour").datatype == "BYTES" and signature.input("size").datatype == "FP32"
    assert signature.output("label").datatype == "BYTES" and signature.classes == ("cat", "dog")


def test_regression_answers_one_number(workshop: Workshop) -> None:
    out = optimised(workshop, samples.RIDGE, samples.diabetes(), task="regression")
    assert Signature.read(out / "signature.json").outputs == (Tensor("prediction", "FP32", (-1, 1)),)


def test_what_has_no_8_bit_form_says_why(workshop: Workshop) -> None:
    trees = samples.returning("RandomForestClassifier(20, random_state=0).fit(X, y)", "from sklearn.ensemble import RandomForestClassifier")
    out = optimised(workshop, trees, samples.blobs())
    candidates = {entry["name"]: entry for entry in json.loads((out / "candidates.json").read_text())}
    assert candidates["int8"]["file"] is None and "TreeEnsemble" in candidates["int8"]["reason"]
    assert not (out / "int8.onnx").exists()


def test_columns_chosen_by_name_in_a_table_of_numbers_still_take_one_tensor(workshop: Workshop) -> None:
    code = """
        from sklearn.compose import ColumnTransformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def train(X, y, params):
            return make_pipeline(ColumnTransformer([("ac", StandardScaler(), ["a", "c"])]), LogisticRegression()).fit(X, y)
    """
    out = optimised(workshop, code, samples.blobs())
    assert Signature.read(out / "signature.json").inputs == (Tensor("input", "FP32", (-1, 3)),)


def test_golden_inputs_are_held_out_rows_with_the_originals_answers(workshop: Workshop) -> None:
    out = optimised(workshop, samples.NETWORK, samples.digits(), optimize={"golden_inputs": 5})
    golden = Golden.read(out / "golden.json")
    assert golden.rows == 5 and golden.inputs[0]["shape"] == [5, 64] and len(golden.inputs[0]["data"]) == 320
    assert golden.mismatches(golden.outputs) == []


def test_rows_with_missing_numbers_are_golden_inputs_too(workshop: Workshop) -> None:
    table = samples.blobs()
    table.loc[::2, "b"] = float("nan")
    trees = samples.returning(
        "HistGradientBoostingClassifier(max_iter=10).fit(X, y)", "from sklearn.ensemble import HistGradientBoostingClassifier"
    )
    golden = Golden.read(optimised(workshop, trees, table) / "golden.json")
    missing = [value != value for value in golden.inputs[0]["data"]]
    assert golden.rows == 32 and 0 < sum(missing) < 32
    assert golden.mismatches(golden.outputs) == []


def test_a_model_that_cannot_be_exported_is_named(workshop: Workshop) -> None:
    code = """
        from sklearn.linear_model import LinearRegression
        from sklearn.pipeline import make_pipeline
        from own import Doubled

        def train(X, y, params):
            return make_pipeline(Doubled(), LinearRegression()).fit(X, y)
    """
    model = workshop.model(code, samples.diabetes(), task="regression", train={"trusted_types": ["own.Doubled"]})
    (model.home / "thing" / "own.py").write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n\n"
        "class Doubled(TransformerMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None):\n        self.fitted_ = True\n        return self\n"
        "    def transform(self, X):\n        return X * 2\n"
    )
    trained = model.train()
    assert trained.result, trained.message
    done = model.optimize(trained)
    assert done.error["kind"] == "input" and "own.Doubled (step 'doubled') cannot be exported to ONNX" in done.message


def test_a_column_named_as_an_output_is_refused(workshop: Workshop) -> None:
    table = samples.animals().rename(columns={"colour": "label"})
    model = workshop.model(samples.PIPELINE.replace('"colour"', '"label"'), table, data={"exclude": ["region"]})
    assert "reserved" in model.optimize(model.train()).message
