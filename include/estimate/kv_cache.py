"""The key-value cache: bytes a token, and bytes that a number of requests of a context need, in whole blocks."""

from __future__ import annotations

from dataclasses import dataclass

from include.estimate.architecture import Architecture
from include.estimate.quantisation import dtype_bytes

BLOCK_TOKENS = 16
"""vLLM's default block size on CUDA."""


@dataclass(frozen=True)
class KvCache:
    """The cache of one GPU: ``layer_bytes`` a token and layer, for ``full_layers`` that keep all and ``windowed_layers`` that keep a
    window. ``requests``: how many were asked for at once."""

    layer_bytes: float
    full_layers: int
    windowed_layers: int = 0
    window: int = 0
    chunk: int = 0
    requests: int = 1

    @property
    def bytes_per_token(self) -> float:
        """What one more token costs while it is inside every window."""
        return self.layer_bytes * (self.full_layers + self.windowed_layers)

    def bytes_for(self, context: int, concurrency: int = 1) -> float:
        """Bytes for ``concurrency`` requests of ``context`` tokens each.

        A windowed layer needs its window and the chunk being prefilled, and a block more as the window rarely starts on one (vLLM's
        SlidingWindowSpec).
        """
        blocks = -(-context // BLOCK_TOKENS)
        in_window = min(blocks, -(-(self.window - 1 + self.chunk) // BLOCK_TOKENS) + 1) if self.windowed_layers else 0
        return self.layer_bytes * BLOCK_TOKENS * concurrency * (self.full_layers * blocks + self.windowed_layers * in_window)

    def tokens_in(self, size: float) -> int:
        """Tokens that ``size`` bytes hold, in whole blocks; 0 where there is no room."""
        if self.bytes_per_token == 0:
            return 0
        return max(0, int(size // (self.bytes_per_token * BLOCK_TOKENS)) * BLOCK_TOKENS)


def kv_cache(arch: Architecture, kv_dtype: str, tensor: int, stage_layers: int, chunk: int, requests: int = 1) -> KvCache:
    """The cache of one GPU of a stage with ``stage_layers`` layers.

    Heads are split over ``tensor`` ranks, at least one each; latent attention has nothing to split, so each rank keeps all of it.
    Windowed layers are taken as spread evenly over the stages. ``chunk``: the most tokens the engine prefills at once.
    """
    size = dtype_bytes(kv_dtype)
    if arch.latent:
        per_layer = (arch.latent.kv_rank + arch.latent.rope_dim) * size
    else:
        per_layer = 2 * max(1, arch.kv_heads // tensor) * arch.head_dim * size
    windowed = round(arch.windowed_layers * stage_layers / arch.layers)
    return KvCache(per_layer, stage_layers - windowed, windowed, arch.window or 0, chunk, requests)
