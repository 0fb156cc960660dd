"""The weights' memory on each GPU: what tensor and pipeline parallel split, what every rank keeps, what the allocator adds."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from include.errors import InputError
from include.estimate.architecture import Architecture
from include.estimate.quantisation import Scheme, dtype_bytes
from include.estimate.tensors import Tensor

MIB = 1024 * 1024
VOCAB_MULTIPLE = 64
"""vLLM pads embedding and head to a multiple of 64 rows (vocab_parallel_embedding.py), so that every rank gets as many."""
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_TOWER = ("vision", "visual", "multi_modal", "image_newline", "audio")
_HEAD = ("lm_head.",)
_EMBED = ("embed_tokens.", "wte.", "word_embeddings.")
# Small or shared by all heads, so every rank keeps the whole: norms, routers, the down-projections of latent attention, row biases.
_WHOLE = re.compile(r"norm|\.gate\.|router|q_a_proj|kv_a_proj|e_score|o_proj\.bias|down_proj\.bias|down_proj_bias|fc2\.bias|sinks|wpe")
# Engines keep these side by side in one allocation (vLLM's QKVParallelLinear, MergedColumnParallelLinear, FusedMoE).
_FUSED = (
    (re.compile(r"\.experts\.\d+\."), ".experts."),
    (re.compile(r"\.[qkv]_proj\."), ".qkv_proj."),
    (re.compile(r"\.(gate|up)_proj\."), ".gate_up_proj."),
    (re.compile(r"\.w[13]\."), ".w13."),
    (re.compile(r"\.(q_a_proj|kv_a_proj_with_mqa)\."), ".qkv_a_proj."),
)


@dataclass(frozen=True)
class Parallel:
    """``tensor`` GPUs share each layer, ``pipeline`` groups share the layers."""

    tensor: int = 1
    pipeline: int = 1

    def __post_init__(self) -> None:
        for name, value in (("tensor", self.tensor), ("pipeline", self.pipeline)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
                raise InputError(f"{name} parallel size is {value!r:.40}.", where="parallel", remedy="It must be from 1 to 1024.")

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline


@dataclass(frozen=True)
class StageWeights:
    """The weights of one GPU of a pipeline stage, MiB. ``allocator``: what the caching allocator rounds up. ``tables``: position tables and
    copies that the engine derives."""

    parameters: float
    allocator: float
    tables: float
    layers: int

    @property
    def total(self) -> float:
        return self.parameters + self.allocator + self.tables


def stage_weights(
    tensors: Iterable[Tensor], arch: Architecture, parallel: Parallel, dtype: str, scheme: Scheme | None = None
) -> list[StageWeights]:
    """For each pipeline stage, what one of its GPUs holds. Raises InputError for a split that engines refuse."""
    check_split(arch, parallel)
    counts = layer_split(arch.layers, parallel.pipeline)
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    groups: list[dict[str, float]] = [defaultdict(float) for _ in counts]
    for tensor in tensors:
        for stage in _stages(tensor.name, arch, ends):
            groups[stage][_fused(tensor.name)] += _share(tensor, arch, parallel.tensor)
    tables = position_table_bytes(arch, dtype)
    return [
        StageWeights(
            parameters=sum(group.values()) / MIB,
            allocator=(sum(map(allocated, group.values())) - sum(group.values())) / MIB,
            tables=(tables + layers * _derived_copies(arch, parallel.tensor, scheme)) / MIB,
            layers=layers,
        )
        for group, layers in zip(groups, counts, strict=True)
    ]


def check_split(arch: Architecture, parallel: Parallel) -> None:
    """Engines need as many heads, and key-value heads or copies of them, on every rank."""
    tp = parallel.tensor
    if arch.heads % tp or (arch.kv_heads % tp and tp % arch.kv_heads):
        remedy = f"Use a size that divides {arch.heads} attention heads."
        raise InputError(f"{arch.name} cannot be split over {tp} GPUs.", where="tensor parallel", remedy=remedy)
    if parallel.pipeline > arch.layers:
        raise InputError(f"{arch.name} has {arch.layers} layers, fewer than {parallel.pipeline} stages.", where="pipeline parallel")


def layer_split(layers: int, stages: int) -> list[int]:
    """Layers of each stage: even; what is over goes to the stages before the last, which has the head (vLLM's get_pp_indices)."""
    counts = [layers // stages] * stages
    for extra in range(layers % stages):
        counts[-2 - extra] += 1
    return counts


def position_table_bytes(arch: Architecture, dtype: str) -> float:
    """The rotary cosines and sines, one row each position that the config allows (not the served context).

    Once a model; Gemma 3 turns its windowed layers by another base, so it has two; where positions have sections (of videos), vLLM's
    table is four times as long (MRotaryEmbedding).
    """
    tables = 2 if arch.family.name == "Gemma3" else 4 if arch.rotary_sections else 1
    return tables * arch.max_position * arch.rotary_dim * dtype_bytes(dtype)


def allocated(size: float) -> float:
    """What PyTorch's caching allocator marks as in use for a request of ``size`` bytes.

    It rounds to 512 B; from 10 MiB on it reserves whole 2 MiB and splits only what exceeds 1 MiB off again, so up to 1 MiB stays with the
    tensor (c10/cuda/CUDACachingAllocator.cpp: kMinBlockSize, kRoundLarge, kSmallSize).
    """
    rounded = math.ceil(size / 512) * 512
    if rounded < 10 * MIB:
        return rounded
    segment = math.ceil(rounded / (2 * MIB)) * 2 * MIB
    return rounded if segment - rounded > MIB else segment


def _stages(name: str, arch: Architecture, ends: list[int]) -> list[int]:
    last = len(ends) - 1
    layer = _LAYER.search(name)
    if layer and not any(part in name for part in _TOWER):
        index = int(layer.group(1))
        # What lies past the last layer (DeepSeek's next-token predictor) is not loaded for plain serving.
        return [next(i for i, end in enumerate(ends) if index < end)] if index < arch.layers else []
    if any(part in name for part in _EMBED):
        return sorted({0, last}) if arch.tied else [0]
    if any(part in name for part in _HEAD):
        return [] if arch.tied else [last]
    return [0] if any(part in name for part in _TOWER) else [last]


def _share(tensor: Tensor, arch: Architecture, tp: int) -> float:
    """Bytes of one rank."""
    name, size = tensor.name, tensor.bytes
    if any(part in name for part in _EMBED + _HEAD) and tensor.shape and tensor.shape[0] == arch.vocab:
        multiple = math.lcm(VOCAB_MULTIPLE, tp)
        return size / arch.vocab * (math.ceil(arch.vocab / multiple) * multiple) / tp
    if _WHOLE.search(name):
        return size
    if ".k_proj." in name or ".v_proj." in name:
        return size / min(tp, arch.kv_heads)
    return size / tp


def _fused(name: str) -> str:
    for pattern, merged in _FUSED:
        name = pattern.sub(merged, name)
    return name


def _derived_copies(arch: Architecture, tp: int, scheme: Scheme | None) -> float:
    """Bytes a layer: latent attention over quantised weights keeps a 16-bit copy of kv_b_proj to absorb (vLLM's MLA backends)."""
    if arch.latent is None or scheme is None:
        return 0.0
    return 2.0 * arch.latent.kv_rank * arch.heads * (arch.latent.nope_dim + arch.latent.value_dim) / tp
