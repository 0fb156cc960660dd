"""Boosters that people train: with the parameters whose exports answered otherwise, or failed, in public reports of bugs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier, XGBRFRegressor

NUMBERS, TEXTS = ["a", "b c", "größe"], ["plan", "product"]
TREES = 15
Make = Callable[[], Any]


def xgb(**own: Any) -> Make:
    """An XGBoost classifier, a regressor where ``own`` has an objective of one."""
    kind = XGBRegressor if str(own.get("objective", "")).startswith(("reg:", "count:")) else XGBClassifier
    return lambda: kind(**{"n_estimators": TREES, "max_depth": 3, "n_jobs": 1} | own)


def lgbm(**own: Any) -> Make:
    """A LightGBM classifier, a regressor where ``own`` has an objective of one."""
    kind = LGBMClassifier if own.get("objective", "binary") in ("binary", "multiclass", "multiclassova") else LGBMRegressor
    return lambda: kind(**{"n_estimators": TREES, "num_leaves": 7, "verbose": -1, "n_jobs": 1} | own)


def cat(**own: Any) -> Make:
    """A CatBoost classifier, a regressor where ``own`` has a loss of one."""
    classes = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")
    kind = CatBoostClassifier if own.get("loss_function", "Logloss") in classes else CatBoostRegressor
    quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
    return lambda: kind(**{"iterations": TREES, "depth": 3} | quiet | own)


class Stopped:
    """A booster that is fitted with early stopping on its own rows' last quarter; a function is what user code has, this stands for it."""

    def __init__(self, make: Make) -> None:
        self._make = make

    def fit(self, x: pd.DataFrame, y: Any) -> Any:
        model, cut = self._make(), len(x) * 3 // 4
        if isinstance(model, LGBMClassifier | LGBMRegressor):
            return model.fit(x[:cut], y[:cut], eval_set=[(x[cut:], y[cut:])], callbacks=[early_stopping(2, verbose=False)])
        return model.fit(x[:cut], y[:cut], eval_set=[(x[cut:], y[cut:])], verbose=False)


class Categories:
    """LightGBM told by name which columns are categories: an argument of ``fit``."""

    def __init__(self, make: Make, columns: list[str]) -> None:
        self._make, self._columns = make, columns

    def fit(self, x: pd.DataFrame, y: Any) -> Any:
        return self._make().fit(x, y, categorical_feature=self._columns)


def mixed(make: Make, encoder: Any | None = None, numbers: Any = "passthrough", last: dict[str, Any] | None = None) -> Make:
    """``make`` behind a ColumnTransformer; ``last`` are arguments of its fit."""
    own = encoder or OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)

    def made() -> Any:
        pipeline = make_pipeline(ColumnTransformer([("t", own, TEXTS), ("n", numbers, NUMBERS)]), make())
        if not last:
            return pipeline
        name = pipeline.steps[-1][0]
        return _Fitted(pipeline, {f"{name}__{key}": value for key, value in last.items()})

    return made


class _Fitted:
    def __init__(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        self._pipeline, self._arguments = pipeline, arguments

    def fit(self, x: pd.DataFrame, y: Any) -> Any:
        return self._pipeline.fit(x, y, **self._arguments)


def own_objective(y: Any, said: Any) -> Any:
    """A squared error that a user wrote."""
    return said - y, np.ones_like(said)


CLASSIFIERS: dict[str, tuple[Make, str]] = {
    "XGBoost": (xgb(), "numbers"),
    "XGBoost, numbers missing": (xgb(), "holes"),
    "XGBoost, whole numbers": (xgb(), "categories"),
    "XGBoost, base_score 0.3": (xgb(base_score=0.3), "numbers"),
    "XGBoost, three classes": (xgb(objective="multi:softprob"), "three"),
    "XGBoost, three classes, softmax": (xgb(objective="multi:softmax"), "three"),
    "XGBoost, three classes, stopped early": (lambda: Stopped(xgb(n_estimators=60, early_stopping_rounds=2)), "three"),
    "XGBoost, stopped early": (lambda: Stopped(xgb(n_estimators=60, early_stopping_rounds=2)), "numbers"),
    "XGBoost, dart": (xgb(booster="dart", rate_drop=0.4, seed=1), "numbers"),
    "XGBoost, parallel trees": (xgb(num_parallel_tree=3, subsample=0.7), "numbers"),
    "XGBoost, forest": (lambda: XGBRFClassifier(n_estimators=20, max_depth=3, n_jobs=1), "numbers"),
    "XGBoost, hinge": (xgb(objective="binary:hinge"), "numbers"),
    "XGBoost, logitraw": (xgb(objective="binary:logitraw"), "numbers"),
    "XGBoost, linear": (xgb(booster="gblinear"), "numbers"),
    "XGBoost, 0 is missing": (xgb(missing=0.0), "zeros"),
    "XGBoost, categories": (xgb(enable_categorical=True, feature_types=["q", "q", "c"]), "categories"),
    "XGBoost, many categories, holes": (xgb(enable_categorical=True, feature_types=["q", "q", "c"]), "many"),
    "XGBoost, one-hot split": (xgb(enable_categorical=True, feature_types=["q", "q", "c"], max_cat_to_onehot=99), "many"),
    "XGBoost, encoded": (mixed(xgb()), "mixed"),
    "XGBoost, one-hot, sparse": (mixed(xgb(), OneHotEncoder(handle_unknown="ignore"), StandardScaler()), "mixed"),
    "XGBoost, one-hot, dense": (mixed(xgb(), OneHotEncoder(handle_unknown="ignore", sparse_output=False)), "mixed"),
    "XGBoost, encoded categories": (mixed(xgb(enable_categorical=True, feature_types=["c", "c", "q", "q", "q"])), "mixed"),
    "XGBoost, seconds": (xgb(), "wide"),
    "XGBoost, calibrated": (lambda: CalibratedClassifierCV(xgb()(), cv=2), "numbers"),
    "XGBoost, texts as classes, by voting": (lambda: VotingClassifier([("x", xgb()())], voting="soft", flatten_transform=False), "names"),
    "XGBoost, max_delta_step, scale_pos_weight": (xgb(max_delta_step=1, scale_pos_weight=5), "numbers"),
    "XGBoost, one tree of a leaf": (xgb(n_estimators=1, max_depth=1, min_child_weight=1e9), "numbers"),
    "LightGBM": (lgbm(), "numbers"),
    "LightGBM, numbers missing": (lgbm(), "holes"),
    "LightGBM, whole numbers": (lgbm(), "categories"),
    "LightGBM, 0 is missing": (lgbm(zero_as_missing=True), "zeros"),
    "LightGBM, missing not used": (lgbm(use_missing=False), "holes"),
    "LightGBM, three classes": (lgbm(objective="multiclass"), "three"),
    "LightGBM, three classes, one of all": (lgbm(objective="multiclassova"), "three"),
    "LightGBM, texts as classes": (lgbm(), "names"),
    "LightGBM, sigmoid 2, unbalanced": (lgbm(sigmoid=2.0, is_unbalance=True), "numbers"),
    "LightGBM, forest": (lgbm(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7), "numbers"),
    "LightGBM, dart": (lgbm(boosting_type="dart", drop_rate=0.5), "numbers"),
    "LightGBM, goss": (lgbm(data_sample_strategy="goss"), "numbers"),
    "LightGBM, linear trees": (lgbm(linear_tree=True), "numbers"),
    "LightGBM, stopped early": (lambda: Stopped(lgbm(n_estimators=80, learning_rate=0.5)), "three"),
    "LightGBM, categories": (lambda: Categories(lgbm(min_data_per_group=5, cat_smooth=1), ["größe"]), "categories"),
    "LightGBM, many categories, holes": (lambda: Categories(lgbm(min_data_per_group=5, cat_smooth=1), ["größe"]), "many"),
    "LightGBM, encoded": (mixed(lgbm()), "mixed"),
    "LightGBM, encoded categories": (
        mixed(lgbm(min_data_per_group=5, cat_smooth=1), last={"categorical_feature": [0, 1]}),
        "mixed",
    ),
    "LightGBM, one-hot": (mixed(lgbm(), OneHotEncoder(handle_unknown="ignore"), StandardScaler()), "mixed"),
    "LightGBM, seconds": (lgbm(), "wide"),
    "LightGBM, stacked": (lambda: StackingClassifier([("l", lgbm()())], LogisticRegression(), cv=2), "numbers"),
    "LightGBM, extra trees, monotone": (lgbm(extra_trees=True, monotone_constraints=[1, 0, 0]), "numbers"),
    "CatBoost": (cat(), "numbers"),
    "CatBoost, numbers missing": (cat(), "holes"),
    "CatBoost, missing ones high": (cat(nan_mode="Max"), "holes"),
    "CatBoost, whole numbers": (cat(), "categories"),
    "CatBoost, three classes": (cat(loss_function="MultiClass"), "three"),
    "CatBoost, three classes, one of all": (cat(loss_function="MultiClassOneVsAll"), "three"),
    "CatBoost, texts as classes": (cat(), "names"),
    "CatBoost, leaf by leaf": (cat(grow_policy="Lossguide", max_leaves=7), "numbers"),
    "CatBoost, level by level": (cat(grow_policy="Depthwise"), "three"),
    "CatBoost, stopped early": (lambda: Stopped(cat(iterations=80, early_stopping_rounds=2, learning_rate=0.7)), "three"),
    "CatBoost, encoded": (mixed(cat()), "mixed"),
    "CatBoost, its own categories": (cat(cat_features=TEXTS), "mixed"),
    "CatBoost, seconds": (cat(), "wide"),
    "CatBoost, one of a leaf": (cat(iterations=1, min_data_in_leaf=1000, grow_policy="Lossguide"), "numbers"),
}
REGRESSORS: dict[str, tuple[Make, str]] = {
    "XGBoost regression": (xgb(objective="reg:squarederror"), "numbers"),
    "XGBoost, absolute error": (xgb(objective="reg:absoluteerror"), "numbers"),
    "XGBoost, Poisson": (xgb(objective="count:poisson"), "holes"),
    "XGBoost, gamma": (xgb(objective="reg:gamma"), "numbers"),
    "XGBoost, Tweedie, base_score 2": (xgb(objective="reg:tweedie", base_score=2.0), "numbers"),
    "XGBoost, quantile": (xgb(objective="reg:quantileerror", quantile_alpha=0.9), "numbers"),
    "XGBoost, pseudo-Huber": (xgb(objective="reg:pseudohubererror"), "numbers"),
    "XGBoost, squared log error": (xgb(objective="reg:squaredlogerror"), "numbers"),
    "XGBoost regression, stopped early": (
        lambda: Stopped(xgb(objective="reg:squarederror", n_estimators=80, learning_rate=0.8, early_stopping_rounds=2)),
        "numbers",
    ),
    "XGBoost, forest regression": (lambda: XGBRFRegressor(n_estimators=20, max_depth=3, n_jobs=1), "numbers"),
    "XGBoost, an objective of one's own": (lambda: XGBRegressor(n_estimators=5, objective=own_objective), "numbers"),
    "XGBoost regression, encoded": (mixed(xgb(objective="reg:squarederror")), "mixed"),
    "XGBoost regression, lossguide, deep": (
        xgb(objective="reg:squarederror", grow_policy="lossguide", max_depth=0, max_leaves=40, n_estimators=200),
        "numbers",
    ),
    "LightGBM regression": (lgbm(objective="regression"), "numbers"),
    "LightGBM, root": (lgbm(objective="regression", reg_sqrt=True), "numbers"),
    "LightGBM, L1": (lgbm(objective="regression_l1"), "numbers"),
    "LightGBM, Poisson": (lgbm(objective="poisson"), "holes"),
    "LightGBM, gamma": (lgbm(objective="gamma"), "numbers"),
    "LightGBM, Tweedie": (lgbm(objective="tweedie"), "numbers"),
    "LightGBM, quantile": (lgbm(objective="quantile", alpha=0.9), "numbers"),
    "LightGBM, Huber": (lgbm(objective="huber"), "numbers"),
    "LightGBM, fair": (lgbm(objective="fair"), "numbers"),
    "LightGBM, MAPE": (lgbm(objective="mape"), "numbers"),
    "LightGBM, an objective of one's own": (lgbm(objective=own_objective), "numbers"),
    "LightGBM regression, forest": (
        lgbm(objective="regression", boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, n_estimators=30),
        "numbers",
    ),
    "LightGBM regression, seconds": (lgbm(objective="regression"), "wide"),
    "LightGBM regression, 600 trees": (lgbm(objective="regression", n_estimators=600, learning_rate=0.02), "holes"),
    "CatBoost regression": (cat(loss_function="RMSE"), "numbers"),
    "CatBoost, Poisson": (cat(loss_function="Poisson"), "numbers"),
    "CatBoost, Tweedie": (cat(loss_function="Tweedie:variance_power=1.5"), "numbers"),
    "CatBoost, quantile": (cat(loss_function="Quantile:alpha=0.9"), "holes"),
    "CatBoost, with uncertainty": (cat(loss_function="RMSEWithUncertainty"), "numbers"),
    "CatBoost regression, encoded": (mixed(cat(loss_function="RMSE")), "mixed"),
}
