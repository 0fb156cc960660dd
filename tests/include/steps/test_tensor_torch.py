"""Networks of PyTorch: trained, exported as a graph that answers alike, or refused with the operator's name."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from include.bundles.signature import Signature
from tests.include.steps.conftest import Done, Mlflow, Trainer

pytestmark = pytest.mark.integration

NETWORK = """
    import torch
    from torch import nn

    {code}

    def train(data, params):
        torch.manual_seed(0)
        return {module}
"""
LEARNS = """
    import mlflow, os, torch
    from pathlib import Path

    def train(data, params):
        torch.manual_seed(0)
        x, y = data.tensors
        nn = torch.nn
        model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, len(data.classes)))
        file = Path(os.environ["UPDRAFT_CHECKPOINTS"]) / "weights.pt"
        if file.exists():
            model.load_state_dict(torch.load(file, weights_only=True))
            print("goes on", flush=True)
        optimiser = torch.optim.Adam(model.parameters(), 0.05)
        for epoch in range(params["epochs"]):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimiser.step()
            mlflow.log_metric("loss", loss.item(), step=epoch)
            torch.save(model.state_dict(), file)
        return model
"""


def table() -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    names = np.array(["down", "left", "up"])
    return pd.DataFrame(x, columns=list("abcd")).assign(y=names[np.abs(x[:, :3]).argmax(1)])


def trained(home: Path, torch: Trainer, mlflow: Mlflow, code: str, **environment: str) -> tuple[Done, str]:
    from include.kinds.requests import request_of

    folder = home / "thing"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(textwrap.dedent(code))
    (folder / "expectations.yaml").write_text("- expect_table_row_count_to_be_between: {min_value: 1}\n")
    table().to_parquet(folder / "rows.parquet")
    spec: dict[str, Any] = {"name": "thing", "kind": "tensor", "task": "classification", "data": {"source": "rows.parquet", "target": "y"}}
    (folder / "model.yaml").write_text(yaml.safe_dump(spec | {"train": {"params": {"epochs": 60}}}))
    run = mlflow.new_run()
    request = request_of(folder / "model.yaml", "train", table=str(folder / "rows.parquet"), mlflow_run_id=run)
    number = len(list(home.glob("step-*")))
    return torch.step(home / f"step-{number}", request, **environment), run


def test_a_network_is_trained_and_its_graph_answers_alike(tmp_path: Path, torch: Trainer, mlflow: Mlflow) -> None:
    (tmp_path / "kept").mkdir()
    done, run = trained(tmp_path, torch, mlflow, LEARNS, UPDRAFT_CHECKPOINTS=str(tmp_path / "kept"))
    assert done.result, done.log
    signature = Signature.read(done.out / "signature.json")
    assert signature.classes == ("down", "left", "up") and [one.name for one in signature.inputs] == ["input"]
    assert done.result["metrics"]["accuracy"] > 0.8
    assert len(mlflow.history(run, "loss")) == 60 and mlflow.models(run) == ["model"]
    again, _ = trained(tmp_path, torch, mlflow, LEARNS, UPDRAFT_CHECKPOINTS=str(tmp_path / "kept"))
    assert "goes on" in again.log and again.result["metrics"]["accuracy"] >= done.result["metrics"]["accuracy"] - 0.05


SORTED = """
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.end = nn.Linear(4, 3)

        def forward(self, x):
            {line}
            return self.end(x)
"""


@pytest.mark.parametrize(
    ("code", "module", "says"),
    [
        (SORTED.format(line="x = torch.linalg.eigvals(x.view(-1, 2, 2)).real.repeat(1, 2)"), "Odd()", "the operator aten.linalg_eig"),
        (SORTED.format(line="x = x + 1 if x.sum() > 0 else x - 1"), "Odd()", "torch.where"),
        (SORTED.format(line="x = x.reshape(3, 4)"), "Odd()", "its first dimension is not the batch, or is fixed"),
        ("", "nn.Linear(4, 2)", "has shape [3, 2] for 3 rows and 3 classes"),
        ("", "nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))", "says `logits`, and every row"),
        ("", "nn.Linear(5, 3)", "forward() raised"),
        ("", "nn.Linear", "the class Linear"),
        ("", "None", "returned nothing"),
        ("bad = nn.Linear(4, 3); bad.weight.data[0] = float('nan')", "bad", "the weights 'weight' hold NaN"),
    ],
    ids=["operator", "control-flow", "fixed-batch", "classes", "softmax", "shape", "class", "nothing", "nan"],
)
def test_what_can_not_be_exported_is_refused_by_name(
    tmp_path: Path, torch: Trainer, mlflow: Mlflow, code: str, module: str, says: str
) -> None:
    text = textwrap.dedent(NETWORK).format(code=textwrap.dedent(code), module=module)
    done, _ = trained(tmp_path, torch, mlflow, text)
    assert done.error.get("kind") == "input" and says in done.message, done.log
