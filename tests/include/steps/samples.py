"""Small tables and training functions for the tests of the steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes, load_digits

NETWORK = """
    import mlflow
    from sklearn.neural_network import MLPClassifier

    def train(X, y, params):
        mlflow.log_metric("from_the_user", 1.5)
        return MLPClassifier((32,), max_iter=params.get("epochs", 30), random_state=0).fit(X / 16, y)
"""

PIPELINE = """
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    def train(X, y, params):
        columns = ColumnTransformer([
            ("text", OneHotEncoder(handle_unknown="ignore"), ["colour"]),
            ("number", StandardScaler(), ["size", "count"]),
        ])
        return make_pipeline(columns, LogisticRegression()).fit(X, y)
"""

RIDGE = """
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def train(X, y, params):
        return make_pipeline(StandardScaler(), Ridge(params.get("alpha", 1.0))).fit(X, y)
"""


def returning(expression: str, imports: str = "") -> str:
    """A training function of one line."""
    return f"{imports}\ndef train(X, y, params):\n    return {expression}\n"


def digits(rows: int = 600) -> pd.DataFrame:
    x, y = load_digits(return_X_y=True)
    return pd.DataFrame(x, columns=[f"p{n}" for n in range(64)]).assign(y=y)[:rows]


def diabetes() -> pd.DataFrame:
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    return x.assign(y=y)


def animals(rows: int = 400) -> pd.DataFrame:
    """Text and numbers, text labels; the colour and the size decide, `region` is for slices."""
    rng = np.random.default_rng(0)
    colour = rng.choice(["black", "brown", "white"], rows)
    size = rng.normal(0, 1, rows) + (colour == "black")
    return pd.DataFrame(
        {
            "colour": colour,
            "size": size,
            "count": rng.integers(0, 9, rows),
            "region": rng.choice(["north", "south"], rows),
            "y": np.where(size + rng.normal(0, 0.2, rows) > 0.5, "dog", "cat"),
        }
    )


def blobs(rows: int = 300, classes: int = 3) -> pd.DataFrame:
    """Three easy clusters of numbers around a large mean, so that float32 rounding is felt."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, classes, rows)
    return pd.DataFrame(
        {"a": 1000 + 2 * y + rng.normal(0, 0.5, rows), "b": rng.normal(0, 1, rows), "c": -y + rng.normal(0, 0.5, rows), "y": y}
    )
