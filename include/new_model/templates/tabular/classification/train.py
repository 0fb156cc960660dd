"""Logistic regression: missing numbers are filled in with the median, numbers are scaled, each text becomes a column of its own."""

from typing import Any

import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def train(X: pd.DataFrame, y: pd.Series, params: dict[str, Any]) -> Pipeline:
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (texts, make_column_selector(dtype_exclude="number")),
    )
    weights = "balanced" if params["balanced"] else None
    model = make_pipeline(columns, LogisticRegression(C=1 / params["strength"], class_weight=weights, max_iter=2000)).fit(X, y)
    print(f"Accuracy on the training rows: {model.score(X, y):.3f}")
    return model
