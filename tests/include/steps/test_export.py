"""What an export may not change: missing, unseen and extreme values, numbers that float32 doesn't hold, names."""

import json

import numpy as np
import pandas as pd
import pytest

from include.bundles.golden import Golden
from include.bundles.limits import Limit
from include.bundles.signature import Signature
from tests.include.steps import samples
from tests.include.steps.conftest import Done, Workshop

pytestmark = pytest.mark.integration

MIXED = """
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    def train(X, y, params):
        number, text = (make_column_selector(dtype_include=kind)(X) for kind in ("number", object))
        columns = ColumnTransformer([("n", StandardScaler(), number), ("t", OneHotEncoder(handle_unknown=UNKNOWN), text)])
        return make_pipeline(columns, Ridge()).fit(X, y)
"""


def exported(workshop: Workshop, code: str, table: pd.DataFrame, task: str = "classification", **more) -> Done:
    model = workshop.model(code, table, task=task, **more)
    trained = model.train()
    assert trained.result, trained.message
    return model.optimize(trained)


def signature(done: Done) -> Signature:
    assert done.result, done.message
    return Signature.read(done.out / "signature.json")


def holed(rows: int = 400) -> pd.DataFrame:
    """Whether `a` is missing, in one row of fifty, decides."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(rows, 3)), columns=list("abc"))
    gone = rng.random(rows) < 0.02
    y = np.where(gone, 0, table.a + table.b > 0).astype(int)
    table.loc[gone, "a"] = np.nan
    return table.assign(y=y)


@pytest.mark.parametrize(
    ("made", "module"),
    [
        ("RandomForestClassifier(20, random_state=0)", "ensemble"),
        ("BaggingClassifier(DecisionTreeClassifier(), 5, random_state=0)", "ensemble import BaggingClassifier\nfrom sklearn.tree"),
    ],
)
def test_trees_send_missing_numbers_where_they_learned_to(workshop: Workshop, made: str, module: str) -> None:
    name = "DecisionTreeClassifier" if "Decision" in made else made.partition("(")[0]
    done = exported(workshop, samples.returning(f"{made}.fit(X, y)", f"from sklearn.{module} import {name}"), holed())
    assert signature(done).limits["a"].missing is True
    golden = Golden.read(done.out / "golden.json")
    assert any(value != value for value in golden.inputs[0]["data"])


def test_a_booster_with_a_log_link_is_exported_with_it(workshop: Workshop) -> None:
    table = samples.diabetes()
    poisson = samples.returning(
        "HistGradientBoostingRegressor(loss='poisson', max_iter=10).fit(X, y)", "from sklearn.ensemble import HistGradientBoostingRegressor"
    )
    done = exported(workshop, poisson, table, "regression")
    assert signature(done)
    golden = Golden.read(done.out / "golden.json")
    assert min(golden.outputs[0]["data"]) > 20, "targets are above 25, their logarithms below 6"


def test_what_the_model_refuses_is_refused_when_served(workshop: Workshop) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"Preis pro Stück": rng.normal(size=200), "Filial-Typ": rng.choice(["x", "y"], 200)})
    table["y"] = table["Preis pro Stück"] + (table["Filial-Typ"] == "x")
    limits = signature(exported(workshop, MIXED.replace("UNKNOWN", "'error'"), table, "regression")).limits
    assert limits["Filial-Typ"].known == ("x", "y") and not limits["Filial-Typ"].missing
    assert not limits["Preis pro Stück"].missing and not limits["Preis pro Stück"].infinite
    ignored = signature(exported(workshop, MIXED.replace("UNKNOWN", "'ignore'"), table, "regression")).limits
    assert not ignored["Preis pro Stück"].missing
    text = ignored.get("Filial-Typ", Limit())
    assert text.missing and text.known is None, "any text is taken, the empty one too"


def test_tensors_have_the_columns_own_names_and_dropped_columns_are_optional(workshop: Workshop) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"unit price (€)": rng.normal(size=200), "Filial-Typ": rng.choice(["x", "y"], 200), "spare": 1.5})
    table["y"] = table["unit price (€)"] + (table["Filial-Typ"] == "x")
    code = MIXED.replace("UNKNOWN", "'ignore'").replace("(X) for", "(X.drop(columns='spare')) for")
    made = signature(exported(workshop, code, table, "regression"))
    assert [(tensor.name, tensor.optional) for tensor in made.inputs] == [
        ("unit price (€)", False),
        ("Filial-Typ", False),
        ("spare", True),
    ]


def test_product_numbers_stay_apart(workshop: Workshop) -> None:
    rng = np.random.default_rng(0)
    effect, at = rng.normal(0, 10, 40), rng.integers(0, 40, 1000)
    table = pd.DataFrame({"product": 2_024_000_000 + at, "channel": rng.choice(["web", "shop"], 1000)})
    table["y"] = effect[at] + rng.normal(size=1000)
    code = """
        from sklearn.compose import ColumnTransformer
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        def train(X, y, params):
            assert X["product"].nunique() == 40
            columns = ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["product", "channel"])])
            return make_pipeline(columns, Ridge()).fit(X, y)
    """
    done = exported(workshop, code, table, "regression")
    assert signature(done).input("product").datatype == "INT64"


def seconds() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    t = 1_700_000_000 + np.arange(800)
    return pd.DataFrame({"t": t, "x": rng.normal(size=800), "y": np.sin(t / 9.0) + rng.normal(0, 0.1, 800)})


def test_seconds_since_1970_are_served_in_64_bits(workshop: Workshop) -> None:
    made = signature(exported(workshop, samples.RIDGE, seconds(), "regression"))
    assert [(tensor.name, tensor.datatype) for tensor in made.inputs] == [("input", "FP64")]


def test_an_export_that_cannot_hold_the_numbers_is_refused_with_column_and_remedy(workshop: Workshop) -> None:
    trees = samples.returning(
        "HistGradientBoostingRegressor(max_iter=20).fit(X, y)", "from sklearn.ensemble import HistGradientBoostingRegressor"
    )
    done = exported(workshop, trees, seconds(), "regression")
    assert "'t' hold numbers that 32-bit floats don't" in done.message and "subtract a constant" in done.message


@pytest.mark.parametrize("step", ["KBinsDiscretizer(5, encode='onehot-dense')", "KNNImputer()"])
def test_graphs_with_inner_graphs_are_exported(workshop: Workshop, step: str) -> None:
    module = "impute" if "Imputer" in step else "preprocessing"
    imports = "from sklearn.linear_model import LogisticRegression\nfrom sklearn.pipeline import make_pipeline\n"
    imports += f"from sklearn.{module} import {step.partition('(')[0]}"
    code = samples.returning(f"make_pipeline({step}, LogisticRegression(max_iter=500)).fit(X, y)", imports)
    assert signature(exported(workshop, code, holed() if "Imputer" in step else samples.blobs()))


@pytest.mark.parametrize(
    ("step", "columns", "said"),
    [
        ("OneHotEncoder(handle_unknown='ignore')", ["a"], ("OneHotEncoder (step 'columntransformer', step 'o')", "Fill missing numbers")),
        (
            "make_pipeline(SimpleImputer(strategy='most_frequent'), OneHotEncoder())",
            ["t"],
            ("SimpleImputer (step 'columntransformer', step 'o', step 'simpleimputer')", "missing_values=''"),
        ),
    ],
)
def test_a_refusal_names_the_part_the_cause_and_what_helps(workshop: Workshop, step: str, columns: list[str], said: tuple) -> None:
    code = f"""
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        def train(X, y, params):
            return make_pipeline(ColumnTransformer([("o", {step}, {columns})]), LogisticRegression()).fit(X, y)
    """
    table = holed().assign(a=lambda t: t.a.round(), t=list("xy") * 200) if columns == ["t"] else holed().assign(a=lambda t: t.a.round())
    done = exported(workshop, code, table)
    assert all(part in done.message for part in said), done.message


def test_the_step_whose_conversion_is_something_else_is_named(workshop: Workshop) -> None:
    code = """
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        def train(X, y, params):
            return make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()).fit(X, y)
    """
    done = exported(workshop, code, holed())
    assert "the ONNX export of SimpleImputer does not answer as the model does" in done.message
    assert "The export knows no `add_indicator`" in done.message


def test_a_column_of_truth_values_takes_no_other_number(workshop: Workshop) -> None:
    code = samples.returning("LogisticRegression().fit(X, y)", "from sklearn.linear_model import LogisticRegression")
    limit = signature(exported(workshop, code, samples.blobs().assign(senior=lambda t: t.index % 3 == 0))).limits["senior"]
    assert limit.known == (0, 1) and "is 2" in limit.refusal(np.array([1.0, 2.0]))


def test_the_part_of_a_column_transformer_whose_conversion_is_something_else_is_named_with_what_helps(workshop: Workshop) -> None:
    rng = np.random.default_rng(0)
    words = ["can't", "naïve", "re-do", "x", "lazy", "FOX"]
    table = pd.DataFrame({"note": [" ".join(rng.choice(words, 4)) for _ in range(300)], "a": rng.normal(size=300)})
    table["y"] = table.note.str.contains("naïve").astype(int)
    code = """
        from sklearn.compose import ColumnTransformer
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def train(X, y, params):
            columns = ColumnTransformer([("n", StandardScaler(), ["a"]), ("t", TfidfVectorizer(), "note")])
            return make_pipeline(columns, LogisticRegression()).fit(X, y)
    """
    done = exported(workshop, code, table)
    assert "the ONNX export of TfidfVectorizer does not answer as the model does" in done.message
    assert "token_pattern" in done.message and "scaled features" not in done.message


def test_what_was_done_is_in_the_log(workshop: Workshop) -> None:
    done = exported(workshop, samples.RIDGE, seconds(), "regression")
    assert "t need more than 32-bit floats" in done.log
    assert json.loads((done.out / "candidates.json").read_text())[0]["name"] == "plain"
