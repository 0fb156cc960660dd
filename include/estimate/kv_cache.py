"""The key-value cache: bytes a token, and bytes that a number of requests of a context need, in whole blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from include.estimate.architecture import Architecture
from include.estimate.quantisation import dtype_bytes

BLOCK_TOKENS = 16
"""vLLM's default block size on CUDA."""
NEARLY_ALIKE = 1.25
"""vLLM makes one group of layers as large as the other where they differ by less (get_kv_cache_groups)."""


@dataclass(frozen=True)
class KvCache:
    """The cache of one GPU: ``layer_bytes`` a token and layer, for ``full_layers`` that keep all and ``windowed_layers`` that keep a
    window; ``linear_layers`` keep a state of ``state_bytes`` a request. ``requests``: how many were asked for at once.

    vLLM keeps layers of different kinds in groups of one size, and fills the last up; a state takes a whole block, so blocks are made as
    large as it is (its hybrid cache manager). Not so where it is not ``grouped`` (llama.cpp).
    """

    layer_bytes: float
    full_layers: int
    windowed_layers: int = 0
    window: int = 0
    chunk: int = 0
    requests: int = 1
    linear_layers: int = 0
    state_bytes: float = 0.0
    block_tokens: int = BLOCK_TOKENS
    grouped: bool = True

    @property
    def block(self) -> int:
        """Tokens of a block."""
        if not self.linear_layers or not self.layer_bytes:
            return self.block_tokens
        return math.ceil(self.state_bytes / self.layer_bytes / BLOCK_TOKENS) * BLOCK_TOKENS

    @property
    def bytes_per_token(self) -> float:
        """What one more token costs while it is inside every window."""
        return self.layer_bytes * (self.full_layers + self.windowed_layers)

    def bytes_for(self, context: int, concurrency: int = 1) -> float:
        """Bytes for ``concurrency`` requests of ``context`` tokens each.

        A windowed layer needs its window and the chunk being prefilled, and a block more as the window rarely starts on one (vLLM's
        SlidingWindowSpec).
        """
        blocks = -(-context // self.block)
        in_window = min(blocks, -(-(self.window - 1 + self.chunk) // self.block) + 1) if self.windowed_layers else 0
        full, windowed, linear = self._filled_up()
        return self.layer_bytes * self.block * concurrency * (full * blocks + windowed * in_window + linear)

    def tokens_in(self, size: float) -> int:
        """Tokens that ``size`` bytes hold as vLLM tells it (every layer counted as one that keeps all), whole blocks; 0 without room."""
        row = self.layer_bytes * self.block * sum(self._filled_up())
        return max(0, int(size // row) * self.block) if row else 0

    def _filled_up(self) -> tuple[int, int, int]:
        """Layers of each kind (full, windowed, linear), filled up to whole groups."""
        kinds = (self.full_layers, self.windowed_layers, self.linear_layers)
        some = [count for count in kinds if count]
        if len(some) < 2 or not self.grouped:
            return kinds
        size = max(some) if max(some) < NEARLY_ALIKE * min(some) else min(some)
        full, windowed, linear = (-(-count // size) * size for count in kinds)
        return full, windowed, linear


def kv_cache(arch: Architecture, kv_dtype: str, tensor: int, stage_layers: int, chunk: int, requests: int = 1) -> KvCache:
    """The cache of one GPU of a stage with ``stage_layers`` layers.

    Heads are split over ``tensor`` ranks, at least one each; latent attention has nothing to split, so each rank keeps all of it.
    Windowed and linear layers are taken as spread evenly over the stages. ``chunk``: the most tokens the engine prefills at once.
    """
    size = dtype_bytes(kv_dtype)
    if arch.latent:
        per_layer = (arch.latent.kv_rank + arch.latent.rope_dim) * size
    else:
        per_layer = 2 * max(1, arch.kv_heads // tensor) * arch.head_dim * size
    windowed = round(arch.windowed_layers * stage_layers / arch.layers)
    linear = round(len(arch.linear.layers) * stage_layers / arch.layers) if arch.linear else 0
    state = arch.linear.state_bytes(tensor, dtype_bytes(arch.dtype)) if arch.linear else 0.0
    return KvCache(per_layer, stage_layers - windowed - linear, windowed, arch.window or 0, chunk, requests, linear, state)
