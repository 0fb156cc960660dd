"""A model whose function trains a small network with DistributedDataParallel, and the request for its step `train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from include.kinds.requests import request_of
from include.runtime.settings import Settings
from include.steps.context import StepRequest

CODE = """
import glob, os, signal, sys, time

import numpy as np


def listens(process):
    sockets = set()
    for path in glob.glob(f"/proc/{process}/fd/*"):
        try:
            sockets.add(os.readlink(path))
        except FileNotFoundError:
            continue
    lines = [line.split() for table in ("tcp", "tcp6") for line in open(f"/proc/self/net/{table}")]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]


def train(X, y, params):
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    folder = os.environ["UPDRAFT_CHECKPOINTS"]
    state = folder + "/state.pt"
    open(f"{folder}/begun-{rank}", "a").write(f"{os.getpid()}\\n")
    dist.init_process_group("gloo")
    beyond = [address for address in listens("self") if not address.startswith("0100007F:")]  # 127.0.0.1
    print(f"listens beyond loopback: {beyond}; its agent: {listens(os.getppid())}", flush=True)
    torch.manual_seed(0)
    net = DistributedDataParallel(torch.nn.Linear(X.shape[1], 1))
    start = 0
    if os.path.exists(state):
        kept = torch.load(state, weights_only=True)
        net.module.load_state_dict(kept["net"])
        start = kept["step"]
    print(f"begins at step {start} of {params['steps']}, {world} workers", flush=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    inputs = torch.tensor(X.to_numpy(), dtype=torch.float32)[rank::world]
    target = torch.tensor(y.to_numpy(), dtype=torch.float32)[rank::world, None]
    for step in range(start, params["steps"]):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(net(inputs), target).backward()
        optimizer.step()
        if rank == 0:
            torch.save({"net": net.module.state_dict(), "step": step + 1}, state + ".new")
            os.replace(state + ".new", state)
        if step + 1 == params["at"] and rank == world - 1:
            once = folder + "/happened"
            if params["does"] == "killed" and not os.path.exists(once):
                open(once, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            if params["does"] == "raises":
                raise ValueError("the last one has had enough")
            if params["does"] == "waits":
                time.sleep(600)
    weights = [torch.zeros(X.shape[1]) for _ in range(world)]
    dist.all_gather(weights, net.module.weight.detach()[0])
    assert all(torch.equal(weights[0], other) for other in weights)
    dist.destroy_process_group()

    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.classes_, model.n_features_in_ = np.array([0, 1]), X.shape[1]
    model.feature_names_in_ = np.array(X.columns, dtype=object)
    model.coef_ = net.module.weight.detach().numpy().astype(float)
    model.intercept_ = net.module.bias.detach().numpy().astype(float)
    return model
"""
SPEC = """name: pair
task: classification
data: {source: table.parquet, target: y}
train:
  runtime: llm
  workers: 2
  params: {steps: 20, at: 10, does: nothing}
"""


class Pair:
    """The model's folder, its table, and a request of it for two workers."""

    def __init__(self, folder: Path, does: str = "nothing", run_id: str = "", **more: int) -> None:
        self.folder = folder / "pair"
        self.folder.mkdir(parents=True)
        (self.folder / "train.py").write_text(CODE)
        (self.folder / "model.yaml").write_text(SPEC)
        (self.folder / "expectations.yaml").write_text("[]\n")
        (self.folder / "table.parquet").write_bytes(b"")
        table = folder / "table.parquet"
        frame = pd.DataFrame({"a": [float(n % 17) / 17 for n in range(200)], "b": [float(n % 5) / 5 for n in range(200)]})
        frame.assign(y=(frame.a > 0.5).astype(int)).to_parquet(table)
        inputs = {"table": str(table), "mlflow_run_id": run_id}
        params = {"steps": 20, "at": 10, "does": does}
        made = request_of(self.folder / "model.yaml", "train", f"pair_lifecycle/{folder.name}", params, **inputs)
        self.request = replace(made, workers=2, **more)


def installed() -> bool:
    return Settings.load().python("llm").exists()


LOADS = {
    "raises": "import os, time\ndef load():\n    open(os.environ['UPDRAFT_CHECKPOINTS'] + '/begun-' + os.environ['RANK'], 'a').close()\n"
    "    if os.environ['RANK'] == '1':\n        raise ValueError('the last one has had enough')\n    time.sleep(600)",
    "waits": "import os, time\ndef load():\n    path = os.environ['UPDRAFT_CHECKPOINTS'] + '/begun-' + os.environ['RANK']\n"
    "    open(path, 'w').write(str(os.getpid()))\n"
    "    try:\n        time.sleep(600)\n    finally:\n        open(path + '-saved', 'w').close()",
}


def light(folder: Path, does: str) -> StepRequest:
    """Step `extract` for two workers, whose code needs no library: torchrun alone is loaded."""
    model = folder / does
    model.mkdir(parents=True)
    files = {
        "model.yaml": SPEC.replace("table.parquet", "data:load").replace("name: pair", f"name: {does}"),
        "data.py": LOADS[does],
        "train.py": CODE,
        "expectations.yaml": "[]\n",
    }
    for name, text in files.items():
        (model / name).write_text(text)
    return replace(request_of(model / "model.yaml", "extract", f"{does}_lifecycle/{folder.name}"), workers=2)
