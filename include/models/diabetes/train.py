"""Linear regression with a penalty on large coefficients."""

from typing import Any

import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def train(X: pd.DataFrame, y: pd.Series, params: dict[str, Any]) -> Pipeline:
    model = make_pipeline(StandardScaler(), Ridge(alpha=params["alpha"])).fit(X, y)
    print(f"R2 on the training rows: {model.score(X, y):.3f}")
    return model
