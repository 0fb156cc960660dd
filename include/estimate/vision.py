"""Vision towers: what stands beside a decoder to read images, from its ``vision_config``.

Sources: the modelling code of Hugging Face transformers 4.5x (siglip, clip, llama4, qwen2_5_vl, qwen3_vl, llava_next) for shapes; vLLM's
for what is loaded of them (no pooling heads; of CLIP in LLaVA, not the layers behind the one whose features are taken).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Shapes = Iterator[tuple[str, tuple[int, ...]]]


class Fields(Protocol):
    """The checked fields of one config (``include.estimate.architecture``)."""

    def whole(self, *names: str, default: int | None = None, low: int = 1, high: int = 1_000_000_000) -> int: ...


@dataclass(frozen=True)
class Tower:
    """A vision transformer. ``width``: of its MLP, ``gated`` with three matrices or plain with two; ``merged``: patches that become one
    token of the decoder; ``positions``: learned ones, 0 with rotary."""

    kind: str
    layers: int
    hidden: int
    width: int
    patch_inputs: int
    positions: int
    merged: int = 1
    gated: bool = False
    mergers: int = 0

    def shapes(self, text_hidden: int) -> Shapes:
        """Its weights by name, down to the projection into ``text_hidden``."""
        yield "vision_tower.patch_embed.weight", (self.hidden, self.patch_inputs)
        if self.positions:
            yield "vision_tower.position_embed.weight", (self.positions, self.hidden)
        for layer in range(self.layers):
            yield from self._layer(f"vision_tower.blocks.{layer}")
        yield from self._projector(text_hidden)

    def _layer(self, where: str) -> Shapes:
        for norm in ("norm1", "norm2"):
            yield f"{where}.{norm}.weight", (self.hidden,)
            yield f"{where}.{norm}.bias", (self.hidden,)
        yield f"{where}.attn.qkv.weight", (3 * self.hidden, self.hidden)
        yield f"{where}.attn.qkv.bias", (3 * self.hidden,)
        yield f"{where}.attn.out.weight", (self.hidden, self.hidden)
        yield f"{where}.attn.out.bias", (self.hidden,)
        for part in ("gate", "up") if self.gated else ("up",):
            yield f"{where}.mlp.{part}.weight", (self.width, self.hidden)
            yield f"{where}.mlp.{part}.bias", (self.width,)
        yield f"{where}.mlp.down.weight", (self.hidden, self.width)
        yield f"{where}.mlp.down.bias", (self.hidden,)

    def _projector(self, text_hidden: int) -> Shapes:
        if self.kind == "siglip":  # Gemma 3: one matrix behind an average over patches
            yield "multi_modal_projector.weight", (text_hidden, self.hidden)
            return
        inner = self.hidden * self.merged if self.merged > 1 else text_hidden
        for number in range(1 + self.mergers):
            yield f"multi_modal_projector.{number}.up.weight", (inner, self.hidden * self.merged)
            yield f"multi_modal_projector.{number}.up.bias", (inner,)
            yield f"multi_modal_projector.{number}.down.weight", (text_hidden, inner)
            yield f"multi_modal_projector.{number}.down.bias", (text_hidden,)


def tower(model_type: str, config: Mapping[str, Any], read: Fields) -> Tower:
    """The tower that a ``vision_config`` describes, a plain vision transformer where the ``model_type`` is not known."""
    hidden = read.whole("embed_dim", "hidden_size", "width") if model_type == "qwen2_vl" else read.whole("hidden_size", "width")
    layers = read.whole("depth", "num_hidden_layers", "layers", high=2_000)
    patch = read.whole("patch_size", "spatial_patch_size", default=14, high=10_000)
    channels = read.whole("in_channels", "in_chans", "num_channels", default=3, high=64)
    if model_type.startswith("qwen"):
        width = read.whole("intermediate_size", default=round(float(config.get("mlp_ratio", 4)) * hidden))
        merged = read.whole("spatial_merge_size", default=2, high=64) ** 2
        inputs = channels * read.whole("temporal_patch_size", default=2, high=64) * patch**2
        deep = config.get("deepstack_visual_indexes")
        positions = read.whole("num_position_embeddings", default=0, low=0)
        return Tower(
            "qwen", layers, hidden, width, inputs, positions, merged, model_type == "qwen2_5_vl", len(deep) if isinstance(deep, list) else 0
        )
    image = read.whole("image_size", default=336, high=100_000)
    clip = str(config.get("model_type", "")).startswith("clip")
    grid = (image // patch) ** 2 + (1 if clip else 0)
    kind = "siglip" if model_type == "gemma3" else "clip" if clip else "plain"
    width = read.whole("intermediate_size", default=4 * hidden)
    return Tower(kind, layers - 1 if clip and model_type.startswith("llava") else layers, hidden, width, channels * patch**2, grid)
