"""Gradient boosting (LightGBM): numbers as they are, missing ones too, each text as a column of its own."""

from typing import Any

import pandas as pd
from lightgbm import LGBMRegressor
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder


def train(X: pd.DataFrame, y: pd.Series, params: dict[str, Any]) -> Pipeline:
    columns = make_column_transformer(
        ("passthrough", make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_exclude="number")),
    )
    trees = LGBMRegressor(
        n_estimators=params["trees"],
        learning_rate=params["learning_rate"],
        num_leaves=params["leaves"],
        min_child_samples=params["leaf_rows"],
        random_state=params["seed"],
        verbose=-1,
    )
    model = make_pipeline(columns, trees).fit(X, y)
    print(f"R2 on the training rows: {model.score(X, y):.3f}")
    return model
