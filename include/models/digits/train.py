"""A small neural network on the pixels."""

from typing import Any

import pandas as pd
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler


def train(X: pd.DataFrame, y: pd.Series, params: dict[str, Any]) -> Pipeline:
    rows = round(params["train_share"] * len(X))
    network = MLPClassifier(
        hidden_layer_sizes=(params["hidden_units"],),
        learning_rate_init=params["learning_rate"],
        max_iter=params["epochs"],
        random_state=params["seed"],
        verbose=True,  # the loss of each epoch, as the task's log
    )
    return make_pipeline(MinMaxScaler(), network).fit(X[:rows], y[:rows])
