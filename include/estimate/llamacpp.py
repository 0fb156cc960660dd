"""Memory of one GPU that serves a model by llama.cpp, every layer on it: its buffers as llama.cpp sizes them at start.

Sources: llama.cpp's src/llama-model.cpp (the token embedding stays in host memory, a tied head gets a copy on the GPU),
src/llama-kv-cache*.cpp (a conversation has cells for its whole context, of windowed layers for window and batch, in steps of 256), and the
compute buffers of public logs (bench/estimator/data/public_logs.csv): the logits of a batch and a hidden state, in 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from include.errors import InputError
from include.estimate.architecture import Architecture
from include.estimate.gguf import MIXES, SIZES, mix_tensors
from include.estimate.quantisation import dtype_bytes
from include.estimate.tensors import Tensor

ENGINE = "llama.cpp"
CELLS = 256
"""The cache's cells come in steps of so many."""
MIB = 1024 * 1024


def gpu_tensors(arch: Architecture | None, stored: Sequence[Tensor], mix: str | None) -> list[Tensor]:
    """What is in the GPU's model buffer: of a GGUF file as it stands, else of the model in ``mix`` (16 bits where none is said)."""
    if stored and not mix:
        found = list(stored)
    elif arch is None:
        raise InputError("llama.cpp serves no ONNX graph.", where="engine", remedy="Ask for onnxruntime.")
    else:
        found = mix_tensors(arch, mix or "f16")
    has_head = any(tensor.name.startswith("lm_head.") for tensor in found)
    return [tensor for tensor in found if not (has_head and "embed_tokens" in tensor.name) and not tensor.name.startswith("vision_tower")]


def cache_bytes(arch: Architecture, kv_dtype: str | None, context: int, conversations: int, batch: int) -> float:
    """The cache for ``conversations`` of ``context`` tokens each."""
    cells = math.ceil(context / CELLS) * CELLS
    windowed = min(cells, math.ceil(((arch.window or 0) + batch) / CELLS) * CELLS)
    linear = len(arch.linear.layers) if arch.linear else 0
    full = arch.layers - arch.windowed_layers - linear
    kept = cached_values(arch) * element_bytes(kv_dtype) * (full * cells + arch.windowed_layers * windowed)
    states = linear * arch.linear.state_bytes(1, 4.0) if arch.linear else 0.0
    return conversations * (kept + states)


def cached_values(arch: Architecture) -> int:
    """Values that one token has in the cache of one layer."""
    return arch.latent.kv_rank + arch.latent.rope_dim if arch.latent else 2 * arch.kv_heads * arch.head_dim


def compute_bytes(arch: Architecture, batch: int) -> float:
    """The compute buffer with flash attention: the logits of a batch of ``batch`` tokens and a hidden state."""
    return batch * (arch.vocab + arch.hidden) * 4.0


def element_bytes(kv_dtype: str | None) -> float:
    """Bytes of one cached value; ``q8_0`` and ``q4_0`` are blocks."""
    name = (kv_dtype or "float16").lower()
    if name in SIZES:
        block, size = SIZES[name]
        return size / block
    return dtype_bytes(name)


def mix_name(text: str | None) -> str | None:
    """The mix that ``--dtype`` asks for; None where it names none."""
    plain = (text or "").lower().replace("-", "_")
    return plain if plain in MIXES else None
