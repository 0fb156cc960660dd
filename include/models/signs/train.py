"""A small convolutional network."""

import os
from pathlib import Path
from typing import Any

import mlflow
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from include.steps.checkpoints import saved


def network(width: int, classes: int) -> nn.Module:
    def block(inside: int, outside: int) -> list[nn.Module]:
        return [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(2)]

    layers = [*block(3, width), *block(width, 2 * width), *block(2 * width, 4 * width)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16 * width, classes))


def train(data: TensorDataset, params: dict[str, Any]) -> nn.Module:
    torch.manual_seed(params["seed"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = network(params["width"], len(data.classes)).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=params["learning_rate"])
    steps = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, params["learning_rate"], epochs=params["epochs"], steps_per_epoch=-(-len(data) // params["batch"])
    )
    folder = os.environ.get("UPDRAFT_CHECKPOINTS")
    file = Path(folder) / "last.pt" if folder else None
    first = 0
    if file and file.exists():  # a try before this one was stopped
        state = torch.load(file, weights_only=True)
        for part, kept in ((model, "model"), (optimiser, "optimiser"), (steps, "steps")):
            part.load_state_dict(state[kept])
        first = state["epoch"] + 1
        print(f"Goes on after epoch {first}.", flush=True)
    for epoch in range(first, params["epochs"]):
        model.train()
        total = 0.0
        for pixels, sign in DataLoader(data, params["batch"], shuffle=True):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(pixels.to(device)), sign.to(device))
            loss.backward()
            optimiser.step()
            steps.step()
            total += loss.item() * len(sign)
        mlflow.log_metric("loss", total / len(data), step=epoch)
        print(f"Epoch {epoch + 1} of {params['epochs']}: loss {total / len(data):.4f}", flush=True)
        if file:
            states = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "steps": steps.state_dict(), "epoch": epoch}
            torch.save(states, file.with_suffix(".part"))
            file.with_suffix(".part").replace(file)
            saved()
    return model
