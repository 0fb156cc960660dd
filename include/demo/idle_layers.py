"""A language model with more layers that answers as before: `python -m include.demo.idle_layers SOURCE TARGET LAYERS` (runtime `llm`).

The new layers are copies of the last one whose outputs are zero, so that what goes in comes out: they only take their time.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path


def add(source: Path, target: Path, layers: int) -> None:
    """Write the Hugging Face model in ``source`` with ``layers`` more to ``target``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source, local_files_only=True)
    stack = model.model.layers
    with torch.no_grad():
        for _ in range(layers):
            idle = copy.deepcopy(stack[-1])
            idle.self_attn.o_proj.weight.zero_()
            idle.mlp.down_proj.weight.zero_()
            idle.self_attn.layer_idx = len(stack)
            stack.append(idle)
    model.config.num_hidden_layers = len(stack)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[0]] * len(stack)
    if getattr(model.config, "max_window_layers", None) is not None:
        model.config.max_window_layers = len(stack)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source, local_files_only=True).save_pretrained(target)


if __name__ == "__main__":
    add(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
