"""``python -m bench.formats.exports > docs/exports.md``: which estimators can be exported, each tried out."""

from __future__ import annotations

import importlib
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.errors import InputError
from include.kinds.forms.candidates import FLOAT32, scaled
from include.kinds.rows.rows import Rows
from include.kinds.table.boosters.converter import ESTIMATORS
from include.kinds.table.export import exported
from include.spec.schema import Task

ROWS, HELD_OUT, SECONDS = 160, 40, 20
HEAD = """# What exports

Estimators of scikit-learn, XGBoost, LightGBM and CatBoost, each with its defaults, trained on 120 rows of three numbers (transformers in
front of a linear model), exported and compared with itself on 40 held-out rows and on probes. Made by `make docs-exports` with scikit-learn
{sklearn}, skl2onnx {skl2onnx}, XGBoost {xgboost}, LightGBM {lightgbm} and CatBoost {catboost}; other parameters may come out otherwise,
which a run then says.

**Boosters** export with their objectives, missing numbers, base scores, early stopping, dart, forests, splits by category of XGBoost and
LightGBM, and classes that are texts (LightGBM, CatBoost). Refused, each by a sentence: XGBoost's `binary:logitraw`, ranking and survival
objectives, `gblinear` and trees with vectors as leaves, LightGBM's `linear_tree`, CatBoost's `cat_features`, `text_features` and
`embedding_features` (encode these columns before), objectives of one's own, several answers a row. XGBoost itself takes no texts as
classes: `VotingClassifier([("model", XGBClassifier())], voting="soft", flatten_transform=False)` encodes and decodes them.

*missing*: the same, trained on a column of which one value in twelve is missing; "–" where the estimator itself takes none.

Ties: where a forest's trees vote for two classes alike, either label is right, and forms are not compared there. With skl2onnx the label
was the estimator's all the same: in each of 323 ties among 6,600 rows (10, 30 and 100 trees, two and three classes), asked in one batch and
one by one. A form in 8 bits may answer them otherwise.

"""


QUIET: dict[str, dict[str, Any]] = {"LGBM": {"verbose": -1}, "CatBoost": {"verbose": 0, "allow_writing_files": False}}
"""What keeps a library from telling of its training."""


def estimators(kind: str) -> list[tuple[str, Any]]:
    """Name and class of each estimator of a kind."""
    from sklearn.utils import all_estimators

    if kind != "booster":
        return list(all_estimators(type_filter=kind))
    modules = {importlib.import_module(f"{package}.{module}"): names for package, (module, names, _) in ESTIMATORS.items()}
    return [(name, getattr(module, name)) for module, names in modules.items() for name in names]


def rows(task: Task, holes: bool) -> tuple[Rows, Rows]:
    """Training and held-out rows; all numbers are positive, which some estimators need."""
    rng = np.random.default_rng(3)
    x = pd.DataFrame(rng.uniform(0.1, 2, (ROWS, 3)).astype("float32").astype("float64"), columns=list("abc"))
    score = x["a"] + x["b"] - x["c"]
    if holes:
        x.loc[::12, "a"] = np.nan
    y = (score > score.median()).astype("int64") if task is Task.CLASSIFICATION else np.exp(score)
    sides = (slice(0, ROWS - HELD_OUT), slice(ROWS - HELD_OUT, None))
    train, test = (Rows(x[side].reset_index(drop=True), y[side].reset_index(drop=True), x[side]) for side in sides)
    return train, test


def outcome(make: Callable[[], Any], task: Task, holes: bool) -> str:
    """``exact``, why it is refused, or empty where the estimator can't be trained this way."""
    train, test = rows(task, holes)
    try:
        model = make().fit(train.x, train.y)
        model.predict(test.x)
    except Exception:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            exported(model, train, test, task, Path(folder) / "plain.onnx", scaled(FLOAT32, train.y, task))
        except InputError as error:
            return error.what
    return "exact"


def tried(name: str, kind: str, estimator: Any) -> tuple[str, str, str]:
    """Name, outcome, and outcome with missing numbers."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline

    task = Task.CLASSIFICATION if "Classifier" in name or kind == "classifier" else Task.REGRESSION

    def make() -> Any:
        own = estimator(**QUIET.get(name.removesuffix("Classifier").removesuffix("Regressor"), {}))
        if kind != "transformer":
            return own
        return make_pipeline(own, LogisticRegression() if task is Task.CLASSIFICATION else LinearRegression())

    def late(*_: Any) -> None:
        raise TimeoutError

    found = []
    signal.signal(signal.SIGPROF, late)
    for holes in (False, True):
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            found.append(outcome(make, task, holes))
        except TimeoutError:
            found.append(f"not tried to the end: it takes longer than {SECONDS} s of a processor")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return name, *found


def main() -> None:
    import catboost
    import lightgbm
    import skl2onnx
    import sklearn
    import xgboost

    warnings.filterwarnings("ignore")
    libraries = (sklearn, skl2onnx, xgboost, lightgbm, catboost)
    print(HEAD.format_map({library.__name__: library.__version__ for library in libraries}), end="")
    for kind in ("classifier", "regressor", "booster", "transformer"):
        found = [tried(name, kind, estimator) for name, estimator in estimators(kind)]
        print(f"## {kind.capitalize()}s\n\n| estimator | complete numbers | missing numbers |\n| --- | --- | --- |")
        for name, complete, missing in found:
            if complete or missing:
                print(f"| {name} | {_cell(complete)} | {_cell(missing)} |")
        left = [name for name, complete, missing in found if not complete and not missing]
        print(f"\nNot tried (they need arguments, other data or other libraries): {', '.join(left) or 'none'}.\n", flush=True)
        print(kind, len(found), file=sys.stderr, flush=True)


def _cell(said: str) -> str:
    if not said or said == "exact":
        return said or "–"
    if "MissingShapeCalculator" in said or "MissingConverter" in said:
        return "refused: skl2onnx has no converter"
    return "refused: the conversion is something else" if "does not answer" in said else "refused: the conversion can't be run"


if __name__ == "__main__":
    main()
