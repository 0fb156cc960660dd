"""The types of XGBoost, LightGBM and CatBoost that a stored model may hold: each keeps its trees in a format of its own library.

skops asks them for their state: XGBoost gives its binary JSON (UBJSON), LightGBM its text, CatBoost its binary form. Reading them back is
their libraries' parsers' work; no code is in them. Callbacks and objectives of a user's own are not among them.
"""

from __future__ import annotations

from collections.abc import Iterable

TYPES = (
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
    "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "catboost.core.CatBoostClassifier",
    "catboost.core.CatBoostRegressor",
    "collections.OrderedDict",
    "collections.defaultdict",
)
PACKAGES = {"xgboost": "xgboost-cpu", "lightgbm": "lightgbm", "catboost": "catboost"}
"""Module → the distribution that the runtime `trainer` has it from."""


def packages(types: Iterable[str]) -> list[str]:
    """The distributions that a model with these types needs beside scikit-learn."""
    return sorted({PACKAGES[module] for name in types if (module := name.partition(".")[0]) in PACKAGES})
