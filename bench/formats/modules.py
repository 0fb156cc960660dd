"""``python -m bench.formats.modules``: networks of PyTorch with random weights, exported as the step `train` does it. Runtime `torch`.

Each is asked about rows that the export has not seen, beside the module itself: `same` where every row gets the module's answer in a batch
of 7 and alone, `refused` where an InputError with place and remedy says why, `silently wrong` where an answer is another. Prints a line a
network, and as the last line JSON as ``python -m bench.formats`` wants it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.formats import sequences
from bench.formats.networks import CLASSES, LENGTH, PICTURE, PIECES, ROW, SERIES, SIDE, WIDTH, Network, pictures, rows
from include.bundles.signature import PREDICTION, PROBABILITIES
from include.errors import InputError
from include.kinds.rows.rows import Rows
from include.kinds.tensor.assembly import TRIED, Parts, assemble
from include.kinds.tensor.parity import near
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.torch_training import check, export, tensors

SAME, REFUSED, WRONG, UNCLEAR = "same", "refused", "silently wrong", "unclear"
KNOWN, ASKED = 12, 7
"""Rows that the network is put together with, and further ones that it is asked about."""


def table(network: Network, seed: int, count: int) -> pd.DataFrame:
    """Return rows of what the network takes."""
    chance = np.random.default_rng(seed)
    if network.takes == ROW:
        return pd.DataFrame({f"x{at}": chance.normal(size=count).astype(np.float32) for at in range(WIDTH)})
    if network.takes in (PICTURE, SERIES):
        shape = (3, SIDE, SIDE) if network.takes == PICTURE else (6, LENGTH)
        return pd.DataFrame({"x": list(chance.normal(size=(count, *shape)).astype(np.float32))})
    lengths = chance.integers(1, LENGTH + 1, count)
    masks = [(np.arange(LENGTH) < length).astype(np.int64) for length in lengths]
    return pd.DataFrame({"ids": [chance.integers(3, PIECES, LENGTH) * mask for mask in masks], "mask": masks})


def outcome(network: Network, folder: Path) -> tuple[str, str]:
    """Return what became of the network, and the sentence that says why."""
    torch.manual_seed(0)
    module = network.make()
    task = "regression" if network.numbers else "classification"
    spec = TensorSpec.model_validate({"name": "m", "kind": "tensor", "task": task, "data": {"source": "a:b", "target": "y"}})
    known = table(network, 1, KNOWN)
    truth = pd.Series(np.arange(KNOWN, dtype=float) if network.numbers else np.arange(KNOWN) % CLASSES)
    parts = Parts(spec, Rows(known, truth, known), list(truth), None, folder)
    try:
        given = tensors(parts, known)
        check(module, "train.entry")
        module = module.to("cpu").eval()
        graph = export(module, {name: tensor[:TRIED] for name, tensor in given.items()}, spec.task, "train.entry")
        made = assemble(graph, parts, folder, "train.entry")
    except InputError as error:
        return (REFUSED if error.where and error.remedy else UNCLEAR), str(error)
    unseen = table(network, 2, ASKED)
    with torch.no_grad():
        answer = module(*tensors(Parts(spec, Rows(unseen, truth[:ASKED], unseen), list(truth), None, folder), unseen).values())
    scores = answer if isinstance(answer, torch.Tensor) else answer[0]
    wanted = scores.reshape(ASKED, -1).numpy() if network.numbers else scores.softmax(1).numpy()
    sent = made.tensors(unseen)
    name = PREDICTION if network.numbers else PROBABILITIES
    whole = made.run(sent)[name]
    alone = np.concatenate([made.run({key: array[row : row + 1] for key, array in sent.items()})[name] for row in range(ASKED)])
    fine = near(whole.astype(np.float64), wanted.astype(np.float64)) and near(alone.astype(np.float64), wanted.astype(np.float64))
    return (SAME, "") if fine else (WRONG, f"differs by {np.abs(whole - wanted).max():.3g}, alone by {np.abs(alone - wanted).max():.3g}")


def main() -> None:
    """Measure all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.formats.modules", description=__doc__)
    parser.add_argument("--only", default="", help="only networks whose name holds this text")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    started = time.monotonic()
    chosen = [one for one in (*pictures(), *rows(), *sequences.series(), *sequences.words()) if args.only in one.name]
    found: Counter[str] = Counter()
    for network in chosen:
        with TemporaryDirectory() as folder:
            try:
                what, why = outcome(network, Path(folder))
            except Exception as error:  # what nobody has thought of
                what, why = UNCLEAR, f"{type(error).__name__}: {error}"
        found[what] += 1
        print(f"{network.name:34}{what:16}{why[:260]}".replace("\n", " "), flush=True)
        if what in (WRONG, UNCLEAR):
            print(f"  {network.name}: {what}", file=sys.stderr)
    figures: dict[str, Any] = {
        "cases": sum(found.values()),
        "silently_wrong": found[WRONG],
        "unclear": found[UNCLEAR],
        "same": found[SAME],
        "refused": found[REFUSED],
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
