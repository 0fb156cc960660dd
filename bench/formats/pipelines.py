"""Models that people train, each with the table that it is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from bench.formats import boosters
from include.spec.schema import Task

ROWS = 400
NUMBERS, TEXTS = ["a", "b c", "größe"], ["plan", "product"]


@dataclass(frozen=True)
class Model:
    """``make`` gives an unfitted estimator; ``table`` is one of TABLES."""

    name: str
    make: Callable[[], Any]
    task: Task
    table: str


def _numbers(holes: float = 0.0, wide: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    x = pd.DataFrame(rng.normal(size=(ROWS, 3)).astype("float32").astype("float64"), columns=NUMBERS)
    score = x["a"] + 0.5 * x["b c"]
    if wide:
        x["a"] = 1_700_000_000 + rng.permutation(ROWS).astype(float)
    if holes:
        gone = rng.random(ROWS) < holes
        x.loc[gone, "a"] = np.nan
        score = score.where(~gone, -1.0)
    return x.assign(y=(score > 0).astype(int), z=np.exp(score / 2))


def _classes(names: tuple[Any, ...], cuts: list[float]) -> pd.DataFrame:
    made = _numbers(0.05)
    score = made["a"].fillna(0) + made["b c"]
    return made.assign(y=np.array(names)[np.digitize(score, cuts)])


def _categories(count: int, holes: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(15)
    made, kinds = _numbers(), rng.integers(0, count, ROWS)
    found = made.assign(größe=kinds, y=((made["a"] + rng.normal(size=count)[kinds]) > 0).astype(int))
    if holes:
        found["größe"] = found["größe"].astype(float).where(rng.random(ROWS) > 0.1)
    return found


def _zeros() -> pd.DataFrame:
    made = _numbers()
    made.loc[np.random.default_rng(16).random(ROWS) < 0.3, "a"] = 0.0
    return made.assign(y=((made["a"] == 0) | (made["a"] + made["b c"] > 0.5)).astype(int))


def _mixed() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    made = _numbers().assign(plan=rng.choice(["basic", "pro", "", "NA"], ROWS), product=2_024_000_000 + rng.integers(0, 20, ROWS))
    return made[[*NUMBERS, *TEXTS, "y", "z"]]


def _rare() -> pd.DataFrame:
    rng = np.random.default_rng(13)
    plans, shares = ["basic", "pro", "", "NA", "one", "two", "three"], [0.4, 0.3, 0.1, 0.14, 0.03, 0.02, 0.01]
    return _mixed().assign(
        plan=rng.choice(plans, ROWS, p=shares), product=rng.choice([3, 5, 7, 11, 13, 2024000001], ROWS, p=[0.4, 0.3, 0.2, 0.06, 0.03, 0.01])
    )


def _notes() -> pd.DataFrame:
    rng = np.random.default_rng(14)
    words = [
        "the",
        "Quick",
        "brown",
        "FOX",
        "over",
        "Ärger",
        "naïve",
        "can't",
        "re-do",
        "e-mail",
        "42",
        "x",
        "über",
        "STRASSE",
        "straße",
        "lazy",
    ]
    texts = [" ".join(rng.choice(words, rng.integers(1, 9))) + rng.choice(["", ".", " ,ok"]) for _ in range(ROWS)]
    y = np.array([("FOX" in text) ^ ("lazy" in text) for text in texts]).astype(int)
    return pd.DataFrame({"note": texts, "a": rng.normal(size=ROWS).astype("float32").astype("float64"), "y": y, "z": y + 0.5})


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "numbers": _numbers,
    "holes": lambda: _numbers(0.05),
    "wide": lambda: _numbers(wide=True),
    "mixed": _mixed,
    "rare": _rare,
    "categories": lambda: _categories(5),
    "many": lambda: _categories(70, holes=True),
    "zeros": _zeros,
    "three": lambda: _classes((0, 1, 2), [-0.5, 0.5]),
    "names": lambda: _classes(("große", "kleine", "no"), [-0.5, 0.5]),
    "notes": _notes,
}


def _columns(encoder: Any, numbers: Any) -> Callable[[Any], Any]:
    return lambda last: make_pipeline(ColumnTransformer([("t", encoder, TEXTS), ("n", numbers, NUMBERS)]), last)


def models() -> list[Model]:
    """All of them."""
    log, forest = lambda: linear_model.LogisticRegression(max_iter=300), lambda: ensemble.RandomForestClassifier(10, random_state=0)
    classifiers: dict[str, Callable[[], Any]] = {
        "logistic": log,
        "forest": forest,
        "extra trees": lambda: ensemble.ExtraTreesClassifier(10, random_state=0),
        "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=10),
        "histogram boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=10),
        "tree": lambda: tree.DecisionTreeClassifier(max_depth=5),
        "neighbours": lambda: neighbors.KNeighborsClassifier(),
        "SVC": lambda: svm.SVC(),
        "linear SVC": lambda: svm.LinearSVC(),
        "Bayes": lambda: naive_bayes.GaussianNB(),
        "network": lambda: neural_network.MLPClassifier((8,), max_iter=50, random_state=0),
        "SGD": lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0),
        "LDA": lambda: LinearDiscriminantAnalysis(),
        "QDA": lambda: QuadraticDiscriminantAnalysis(),
        "AdaBoost": lambda: ensemble.AdaBoostClassifier(n_estimators=5),
        "bagging": lambda: ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=4), 5, random_state=0),
        "voting": lambda: ensemble.VotingClassifier([("l", log()), ("f", forest())], voting="soft"),
        "stacking": lambda: ensemble.StackingClassifier([("l", log()), ("f", forest())], cv=2),
        "calibrated": lambda: CalibratedClassifierCV(log(), cv=2),
    }
    regressors: dict[str, Callable[[], Any]] = {
        "ridge": lambda: linear_model.Ridge(),
        "lasso": lambda: linear_model.Lasso(0.01),
        "Huber": lambda: linear_model.HuberRegressor(),
        "Poisson": lambda: linear_model.PoissonRegressor(),
        "gamma": lambda: linear_model.GammaRegressor(),
        "forest": lambda: ensemble.RandomForestRegressor(10, random_state=0),
        "histogram boosting": lambda: ensemble.HistGradientBoostingRegressor(max_iter=10),
        "Poisson boosting": lambda: ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=10),
        "gamma boosting": lambda: ensemble.HistGradientBoostingRegressor(loss="gamma", max_iter=10),
        "quantile boosting": lambda: ensemble.HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=10),
        "neighbours": lambda: neighbors.KNeighborsRegressor(),
        "SVR": lambda: svm.SVR(),
        "Gaussian process": lambda: GaussianProcessRegressor(alpha=0.1),
    }
    steps: dict[str, Callable[[], Any]] = {
        "min and max": lambda: MinMaxScaler(),
        "robust": lambda: RobustScaler(),
        "largest": lambda: MaxAbsScaler(),
        "quantiles": lambda: QuantileTransformer(n_quantiles=20),
        "power": lambda: PowerTransformer(),
        "bins": lambda: KBinsDiscretizer(5, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
        "polynomials": lambda: PolynomialFeatures(2),
        "PCA": lambda: PCA(2),
        "best": lambda: SelectKBest(k=2),
        "normal": lambda: Normalizer(),
        "union": lambda: FeatureUnion([("s", StandardScaler()), ("p", PCA(1))]),
        "SVD": lambda: TruncatedSVD(2),
    }
    c, r = Task.CLASSIFICATION, Task.REGRESSION
    found = [Model(f"{name}", made, c, "numbers") for name, made in classifiers.items()]
    found += [Model(f"{name} regression", made, r, "numbers") for name, made in regressors.items()]
    found += [Model(f"{name}, logistic", lambda made=made: make_pipeline(made(), log()), c, "numbers") for name, made in steps.items()]
    holed = ("forest", "histogram boosting", "tree", "bagging", "extra trees")
    found += [Model(f"{name} with holes", classifiers[name], c, "holes") for name in holed]
    found += [
        Model(
            "median, logistic with holes", lambda: make_pipeline(SimpleImputer(strategy="median", add_indicator=True), log()), c, "holes"
        ),
        Model("neighbours, logistic with holes", lambda: make_pipeline(KNNImputer(), log()), c, "holes"),
        Model("scaled ridge of seconds", lambda: make_pipeline(StandardScaler(), linear_model.Ridge()), r, "wide"),
        Model("forest of seconds", regressors["forest"], r, "wide"),
        Model("histogram boosting of seconds", regressors["histogram boosting"], r, "wide"),
    ]
    ignoring, strict = OneHotEncoder(handle_unknown="ignore"), OneHotEncoder(handle_unknown="error")
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    found += [
        Model("one-hot, logistic", lambda: _columns(ignoring, StandardScaler())(log()), c, "mixed"),
        Model("strict one-hot, logistic", lambda: _columns(strict, StandardScaler())(log()), c, "mixed"),
        Model(
            "one-hot, histogram boosting",
            lambda: _columns(OneHotEncoder(handle_unknown="ignore", sparse_output=False), "passthrough")(
                ensemble.HistGradientBoostingClassifier(max_iter=10)
            ),
            c,
            "mixed",
        ),
        Model("ordinal, forest", lambda: _columns(ordinal, "passthrough")(forest()), c, "mixed"),
        Model("target encoding, ridge", lambda: _columns(TargetEncoder(), StandardScaler())(linear_model.Ridge()), r, "mixed"),
        Model(
            "imputed texts, logistic",
            lambda: _columns(make_pipeline(SimpleImputer(strategy="most_frequent"), ignoring), StandardScaler())(log()),
            c,
            "mixed",
        ),
    ]
    found += [Model(name, made, c, table) for name, (made, table) in boosters.CLASSIFIERS.items()]
    found += [Model(name, made, r, table) for name, (made, table) in boosters.REGRESSORS.items()]
    return found + _reported()


def _reported() -> list[Model]:
    """Those whose exports answered otherwise, unnoticed, in public reports of bugs."""
    c, log, hold = Task.CLASSIFICATION, lambda: linear_model.LogisticRegression(max_iter=300), {"handle_unknown": "use_encoded_value"}
    forest = lambda: ensemble.RandomForestClassifier(10, random_state=0)  # noqa: E731
    encoders: dict[str, tuple[Any, Callable[[], Any]]] = {
        "ordinal, rare ones together, forest": (OrdinalEncoder(**hold, unknown_value=-1, min_frequency=20), forest),
        "ordinal, the most frequent": (OrdinalEncoder(**hold, unknown_value=-1, max_categories=3), log),
        "ordinal, unknown and missing by number": (OrdinalEncoder(**hold, unknown_value=77, encoded_missing_value=42), log),
        "one-hot, rare ones together": (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20), log),
        "one-hot, the most frequent": (OneHotEncoder(handle_unknown="ignore", max_categories=3), log),
        "one-hot, the first dropped": (OneHotEncoder(handle_unknown="ignore", drop="first"), log),
    }
    words: dict[str, dict[str, Any]] = {
        "words": {},
        "pairs of words without some": {"ngram_range": (1, 2), "stop_words": ["the", "over"]},
        "words as they are": {"lowercase": False},
        "few words": {"min_df": 15, "max_features": 12},
        "words of plain letters": {"token_pattern": r"[a-zA-Z0-9_]+"},
    }
    found = [Model(name, lambda e=e, last=last: _columns(e, "passthrough")(last()), c, "rare") for name, (e, last) in encoders.items()]
    for name, settings in words.items():
        found.append(
            Model(
                name,
                lambda own=settings: make_pipeline(
                    ColumnTransformer([("t", TfidfVectorizer(**own), "note"), ("n", "passthrough", ["a"])]), log()
                ),
                c,
                "notes",
            )
        )
    return [
        *found,
        Model("neighbours by distance", lambda: neighbors.KNeighborsClassifier(3, weights="distance"), c, "numbers"),
        Model(
            "boosting with categories",
            lambda: ensemble.HistGradientBoostingClassifier(max_iter=10, categorical_features=[2]),
            c,
            "categories",
        ),
        Model("SVC with probabilities", lambda: svm.SVC(probability=True, random_state=0), c, "numbers"),
        Model("a threshold of its own", lambda: TunedThresholdClassifierCV(log()), c, "numbers"),
        Model("hard voting", lambda: ensemble.VotingClassifier([("l", log()), ("f", forest())], flatten_transform=False), c, "numbers"),
    ]
