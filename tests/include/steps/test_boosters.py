"""XGBoost, LightGBM and CatBoost from training to the bundle: stored without pickle, exported as what they are, or refused by name."""

import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.runtime.settings import REPO, Settings
from tests.include.steps import samples
from tests.include.steps.conftest import Workshop

pytestmark = pytest.mark.integration

QUIET = {
    "XGBClassifier": "xgboost.XGBClassifier(n_estimators=10, max_depth=3)",
    "LGBMClassifier": "lightgbm.LGBMClassifier(n_estimators=10, verbose=-1)",
    "CatBoostClassifier": "catboost.CatBoostClassifier(iterations=10, depth=3, verbose=0, allow_writing_files=False)",
}


def library(name: str) -> str:
    return QUIET[name].partition(".")[0]


def holed(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(rows, 3)), columns=list("abc"))
    y = (table.a + table.b > 0).astype(int)
    return table.mask(rng.random(table.shape) < 0.05).assign(y=y)


@pytest.mark.parametrize("name", sorted(QUIET))
def test_a_booster_goes_from_training_to_a_bundle(workshop: Workshop, name: str) -> None:
    model = workshop.model(samples.returning(f"{QUIET[name]}.fit(X, y)", f"import {library(name)}"), holed())
    trained = model.train()
    assert trained.result, trained.message
    with zipfile.ZipFile(trained.result["model"]) as stored:
        schema = json.loads(stored.read("schema.json"))
        assert schema["__class__"] == name and not [entry for entry in stored.namelist() if "pickle" in entry or entry.endswith(".pkl")]
    optimized = model.optimize(trained)
    assert optimized.result, optimized.message
    assert "the original's answers" in optimized.log
    verified = model.verify(trained, optimized)
    assert verified.result, verified.message


def test_texts_and_numbers_come_to_a_booster_behind_a_column_transformer(workshop: Workshop) -> None:
    code = samples.PIPELINE.replace("LogisticRegression()", "LGBMClassifier(n_estimators=10, verbose=-1)").replace(
        "from sklearn.linear_model import LogisticRegression", "from lightgbm import LGBMClassifier"
    )
    done = workshop.model(code, samples.animals()).bundle()
    assert done.result, done.message


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("lightgbm.LGBMClassifier(verbose=-1, linear_tree=True)", ("LGBMClassifier", "linear_tree", "Leave `linear_tree` out")),
        ("xgboost.XGBClassifier(booster='gblinear')", ("XGBClassifier", "gblinear has no trees", "`booster='gbtree'`")),
        (
            "catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False, cat_features=['colour'])",
            ("CatBoostClassifier", "column 'colour'", "without `cat_features`"),
        ),
    ],
)
def test_what_trees_of_onnx_do_not_say_is_refused_by_estimator_cause_and_remedy(workshop: Workshop, made: str, said: tuple[str]) -> None:
    texts = "colour" in made
    table = samples.animals() if texts else holed()
    columns = "X[['colour', 'size', 'count']]" if texts else "X"
    code = samples.returning(f"{made}.fit({columns}, y)", f"import {made.partition('.')[0]}")
    model = workshop.model(code, table, data={"exclude": ["region"]} if texts else {})
    trained = model.train()
    assert trained.result, trained.message
    refused = model.optimize(trained)
    assert not refused.result and all(word in refused.message for word in said), refused.message


def test_several_answers_a_row_are_refused_at_training(workshop: Workshop) -> None:
    made = "xgboost.XGBRegressor(n_estimators=3, objective='reg:quantileerror', quantile_alpha=[0.1, 0.9]).fit(X, y)"
    done = workshop.model(samples.returning(made, "import xgboost"), samples.diabetes(), task="regression").train()
    assert not done.result and "answers 2 values a row" in done.message and "raised" not in done.message, done.message


def test_a_type_that_is_not_a_boosters_own_is_still_asked_for(workshop: Workshop) -> None:
    code = """
    import xgboost

    class Mine(xgboost.XGBClassifier):
        pass

    def train(X, y, params):
        return Mine(n_estimators=2).fit(X, y)
    """
    done = workshop.model(code, holed()).train()
    assert not done.result and "train.Mine" in done.message and "train.trusted_types" in done.message, done.message


HARD = (
    "XGBoost, one-hot, sparse",
    "XGBoost, many categories, holes",
    "LightGBM, 0 is missing",
    "LightGBM, many categories, holes",
    "LightGBM regression, forest",
    "CatBoost, level by level",
)
"""What other converters answer otherwise."""


def test_the_hard_ones_of_the_zoo_answer_as_their_libraries_do(tmp_path: Path) -> None:
    program = f"""
import warnings; warnings.filterwarnings("ignore")
from pathlib import Path
from bench.formats.pipelines import models
from bench.formats.tables import EACH, SAME, pipeline
for model in models():
    if model.name in {HARD!r}:
        print(model.name, pipeline(model, Path({str(tmp_path)!r}))[SAME] == 4 * EACH)
"""
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    python = str(Settings.load().python("trainer"))
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert sorted(done.stdout.splitlines()) == sorted(f"{name} True" for name in HARD), done.stdout + done.stderr
