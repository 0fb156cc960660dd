"""Trains an example that is a network of PyTorch, and writes it for every server of the bench; run by the `torch` runtime.

``make_network.py MODEL FOLDER``: the bundles ``original`` and ``int8``, ``module.pt`` with ``code`` for plain FastAPI, ``mlflow_model``,
and ``asked.json``: the held-out rows as KServe's inputs, with what is right of each.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import mlflow
import numpy as np
import torch

from bench.serving import network_code
from include.kinds.forms.candidates import FLOAT32, LOSSY, scaled
from include.kinds.forms.optimizers import Built, optimizers
from include.kinds.load import load
from include.kinds.tensor import torch_training, wrapper
from include.kinds.tensor.assembly import Parts, assemble
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.steps.optimize import as_json, golden
from include.kinds.tensor.table import hashable
from include.kinds.tensor.table import split_rows as split
from include.release.bundle import IGNORED
from include.runtime.settings import REPO
from include.steps.user_code import importable, load_entry


def main(model: str, folder: Path) -> None:
    """Make all of it."""
    warnings.simplefilter("ignore")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/runs.sqlite"
    home = REPO / "include" / "models" / model
    spec = load(home / "model.yaml")
    assert isinstance(spec, TensorSpec)
    with importable(home):
        frame = load_entry(home, spec.data.source)()
    hashable(frame)
    frame.to_parquet(folder / "table.parquet")
    train, test = split(folder / "table.parquet", spec)
    params = spec.param_defaults("serve")
    code = wrapper.load(home, spec.serve.classes()["wrapper"], params)
    parts = Parts(spec, train, [*train.y, *test.y], code, home)
    with importable(home):
        function = load_entry(home, spec.train.entry)
        inputs = torch_training.tensors(parts, train.x)
        data = torch.utils.data.TensorDataset(*inputs.values(), torch_training.truth(parts))
        data.classes, data.inputs = torch_training.classes_of(spec, parts.labels), tuple(inputs)
        with mlflow.start_run():
            module = function(data, dict(spec.param_defaults("train"))).to("cpu").eval()
    graph = torch_training.export(module, {name: tensor[:3] for name, tensor in inputs.items()}, spec.task, model)
    original = folder / "original"
    original.mkdir()
    made = assemble(graph, parts, original, model)
    golden(made, test, spec, scaled(FLOAT32, train.y, spec.task)).save(original / "golden.json")
    calibration = made.before(made.tensors(train.x.head(256)))
    coarse = folder / "int8"
    shutil.copytree(original, coarse)
    built = optimizers(spec)["int8"].build(original / "model.onnx", coarse / "model.onnx", calibration)
    assert isinstance(built, Built), built.reason
    golden(made, test, spec, scaled(LOSSY, train.y, spec.task)).save(coarse / "golden.json")
    for bundle in (original, coarse):
        shutil.copytree(home, bundle / "code", ignore=IGNORED)
    peers(folder, home, spec, module, list(data.classes))
    sent = as_json(made.tensors(test.x), made.signature)
    [(name, array)] = sent.items()
    asked = {"name": name, "rows": array.reshape(-1).tolist(), "right": test.y.tolist(), "params": dict(params)}
    (folder / "asked.json").write_text(json.dumps(asked))


def peers(folder: Path, home: Path, spec: TensorSpec, module: torch.nn.Module, classes: list[str]) -> None:
    """Write what the other servers load: the module, with the same code around it."""
    shutil.copytree(home, folder / "code", ignore=IGNORED)
    with importable(home):
        torch.save(module, folder / "module.pt")
    images = {name: [said.mode, said.max_megapixels] for name, said in spec.data.images.items()}
    about = {"classes": classes, "params": dict(spec.param_defaults("serve")), "images": images}
    (folder / "about.json").write_text(json.dumps(about))
    mlflow.pyfunc.save_model(
        str(folder / "mlflow_model"),
        python_model=network_code.Served(),
        artifacts={"network": str(folder / "about.json")},
        pip_requirements=[],
    )
    np.save(folder / "classes.npy", np.array(classes, dtype=str))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
