"""The bench's peers of Updraft's server: a network of PyTorch with the code around it, behind FastAPI and behind `mlflow models serve`.

Both answer as the example's server does: pictures or texts in, a class and its probabilities out. Runtime `torch`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import torch
from fastapi import FastAPI, Request

from bench.serving.peers import FOLDER
from include.bundles.pictures import Picture, opened


class Network:
    """The module, the code before it, and its classes."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        sys.path.insert(0, str(folder / "code"))
        about = json.loads((folder / "about.json").read_text())
        self.classes = about["classes"]
        self.images = {name: Picture(*said) for name, said in about["images"].items()}
        self.wrapper = importlib.import_module("serving").Wrapper(about["params"])
        self.module = torch.load(folder / "module.pt", weights_only=False)  # this bench's own file

    def answer(self, name: str, rows: list[str]) -> dict[str, Any]:
        """Return labels and probabilities of rows of the input ``name``."""
        sent = {name: np.array(rows, dtype=object).reshape(-1, 1)}
        given = self.wrapper.before(opened(self.images, sent))
        with torch.inference_mode():
            found = self.module(*(torch.from_numpy(array) for array in given.values())).softmax(1).numpy()
        return {"label": [self.classes[best] for best in found.argmax(1)], "probabilities": found.tolist()}


class Served(mlflow.pyfunc.PythonModel):
    """The same as MLflow's server calls it."""

    def load_context(self, context: Any) -> None:
        self.network = Network(Path(os.environ[FOLDER]))

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        name = str(model_input.columns[0])
        return self.network.answer(name, list(model_input[name]))


def app() -> Any:
    """Return the FastAPI application, as uvicorn's factory."""
    network = Network(Path(os.environ[FOLDER]))
    made = FastAPI()

    @made.get("/ping")
    def ping() -> dict[str, bool]:
        return {"ready": True}

    @made.post("/predict")
    async def predict(request: Request) -> Any:
        asked = await request.json()
        return network.answer(asked["name"], asked["rows"])

    return made
