"""What a transformer is made of, as its ``config.json`` tells: sizes, attention, experts, windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import InputError
from include.estimate.vision import Tower, tower

# Larger than any model's field, small enough that no product of them overflows a sensible figure.
LARGEST_FIELD = 1_000_000_000
MAX_LAYERS = 2_000


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, section 2.1): what is cached is ``kv_rank + rope_dim`` values a token and layer."""

    kv_rank: int
    q_rank: int | None
    nope_dim: int
    rope_dim: int
    value_dim: int


@dataclass(frozen=True)
class Experts:
    """A mixture of experts. ``dense_layers`` come first and have an ordinary MLP; after them every ``step``-th layer has experts.
    ``shared_width`` is 0 without shared experts; ``shared_gate``: their answer is weighed by a gate of its own."""

    count: int
    per_token: int
    width: int
    shared_width: int = 0
    dense_layers: int = 0
    biased: bool = False
    step: int = 1
    shared_gate: bool = False

    def on(self, layer: int) -> bool:
        """Whether this layer (from 0) has experts."""
        return layer >= self.dense_layers and (layer + 1) % self.step == 0

    @property
    def some_dense(self) -> bool:
        return self.dense_layers > 0 or self.step > 1


@dataclass(frozen=True)
class Linear:
    """Linear attention (a gated delta rule, arXiv 2412.06464): a request keeps one state a layer, however long it gets.

    ``layers`` (from 0) have it, all others ordinary attention.
    """

    layers: frozenset[int]
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int

    @property
    def channels(self) -> int:
        """What its convolution runs over: queries, keys and values."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    def state_bytes(self, tensor: int, size: float) -> float:
        """Bytes of one layer's state for one request on each of ``tensor`` ranks, ``size`` bytes an element."""
        return (self.channels * (self.kernel - 1) + self.value_heads * self.key_dim * self.value_dim) * size / tensor


@dataclass(frozen=True)
class Family:
    """What a ``model_type`` fixes and its ``config.json`` does not say."""

    name: str
    tied: bool = False
    qkv_bias: bool = False
    head_norms: bool = False
    norms_per_layer: int = 2
    gated: bool = True
    all_biased: bool = False
    gated_attention: bool = False


# Source: the modelling code of Hugging Face transformers 4.5x for each model_type.
FAMILIES = {
    "llama": Family("Llama"),
    "mistral": Family("Mistral"),
    "mistral3": Family("Mistral"),
    "mixtral": Family("Mixtral"),
    "qwen2": Family("Qwen2", qkv_bias=True),
    "qwen3": Family("Qwen3", head_norms=True),
    "qwen3_moe": Family("Qwen3Moe", head_norms=True),
    "gemma": Family("Gemma", tied=True),
    "gemma2": Family("Gemma2", tied=True, norms_per_layer=4),
    "gemma3": Family("Gemma3", tied=True, norms_per_layer=4, head_norms=True),
    "gemma3_text": Family("Gemma3", tied=True, norms_per_layer=4, head_norms=True),
    "phi": Family("Phi", gated=False, all_biased=True, qkv_bias=True, norms_per_layer=1),
    "phi3": Family("Phi3"),
    "granite": Family("Granite"),
    "llava_next": Family("Granite", tied=True),
    "deepseek_v2": Family("DeepseekV2"),
    "deepseek_v3": Family("DeepseekV3"),
    "kimi_vl": Family("DeepseekV3"),
    "gpt_oss": Family("GptOss", qkv_bias=True),
    "llama4": Family("Llama4"),
    "llama4_text": Family("Llama4"),
    "qwen2_moe": Family("Qwen2Moe", qkv_bias=True),
    "qwen2_vl": Family("Qwen2", qkv_bias=True),
    "qwen2_5_vl": Family("Qwen2", qkv_bias=True),
    "qwen3_vl": Family("Qwen3", head_norms=True),
    "qwen3_vl_moe": Family("Qwen3Moe", head_norms=True),
    "qwen3_next": Family("Qwen3Next", head_norms=True, gated_attention=True),
}


@dataclass(frozen=True)
class Architecture:
    """A decoder's public facts. Sizes are elements, ``window`` and ``max_position`` tokens.

    ``known_family`` is False where the ``model_type`` is not in our list: its sizes are used, its family's habits are guessed.
    ``extra_params`` counts what stands beside the decoder (a vision tower) where its ``vision`` sizes are not known, kept unquantised.
    """

    name: str
    family: Family
    known_family: bool
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    max_position: int
    rotary_dim: int
    dtype: str
    latent: Latent | None = None
    experts: Experts | None = None
    window: int | None = None
    windowed_layers: int = 0
    extra_params: int = 0
    multimodal: bool = False
    vision: Tower | None = None
    linear: Linear | None = None
    rotary_sections: bool = False
    """Rotary positions in sections for time, height and width (Qwen's M-RoPE)."""


class _Fields:
    """The fields of one config, checked as they are read; every complaint names file and field."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self.config, self.where = config, where

    def whole(self, *names: str, default: int | None = None, low: int = 1, high: int = LARGEST_FIELD) -> int:
        for name in names:
            value = self.config.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"{name} is {value!r:.60}.", where=self.where, remedy=f"It must be a whole number from {low} to {high}.")
            return value
        if default is None:
            raise InputError(f"no field {' or '.join(names)}.", where=self.where, remedy="The estimator needs a decoder's config.json.")
        return default

    def number(self, name: str, default: float) -> float:
        value = self.config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 < value <= 1e6:
            raise InputError(f"{name} is {value!r:.60}.", where=self.where, remedy="It must be a positive number.")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InputError(f"{name} is {value!r:.60}.", where=self.where, remedy="It must be true or false.")
        return value


def architecture(config: Mapping[str, Any], *, name: str, where: str = "config.json", extra_params: int = 0) -> Architecture:
    """The architecture that a ``config.json`` describes; a multimodal model's decoder is read from its ``text_config``.

    Raises InputError naming the field that is absent, of the wrong type, or out of range.
    """
    outer = str(config.get("model_type", ""))
    text = config.get("text_config")
    inner = {**{k: v for k, v in config.items() if k != "text_config"}, **text} if isinstance(text, Mapping) else dict(config)
    inner_type = str(inner.get("model_type", ""))
    # LLaVA and Mistral 3 put another's decoder into theirs.
    model_type = inner_type if isinstance(text, Mapping) and inner_type in FAMILIES else outer if outer in FAMILIES else inner_type
    family = FAMILIES.get(model_type, Family(model_type or "unknown"))
    read = _Fields(inner, where)
    hidden, heads = read.whole("hidden_size", "n_embd"), read.whole("num_attention_heads", "n_head")
    latent = _latent(read) if inner.get("kv_lora_rank") is not None else None
    layers = read.whole("num_hidden_layers", "n_layer", high=MAX_LAYERS)
    head_dim = read.whole("head_dim", default=0, low=1) or _even_share(hidden, heads, where)
    window, windowed = _windows(read, family, layers)
    return Architecture(
        name=name,
        family=family,
        known_family=model_type in FAMILIES,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(read, heads),
        head_dim=head_dim,
        intermediate=read.whole("intermediate_size_mlp", "intermediate_size", "n_inner", default=4 * hidden),
        vocab=read.whole("vocab_size"),
        tied=read.flag("tie_word_embeddings", family.tied),
        max_position=read.whole("max_position_embeddings", "n_positions", default=4096),
        rotary_dim=latent.rope_dim if latent else max(1, round(head_dim * read.number("partial_rotary_factor", 1.0))),
        dtype=str(inner.get("dtype") or inner.get("torch_dtype") or "bfloat16"),
        latent=latent,
        experts=_experts(read, family),
        window=window,
        windowed_layers=windowed,
        extra_params=extra_params,
        multimodal=extra_params > 0 or "vision_config" in config,
        vision=None if extra_params else _tower(config, where),
        linear=_linear(read, layers),
        rotary_sections=_has_sections(inner) or model_type in {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"},
    )


def _has_sections(config: Mapping[str, Any]) -> bool:
    return any(isinstance(rope := config.get(name), Mapping) and "mrope_section" in rope for name in ("rope_scaling", "rope_parameters"))


def _tower(config: Mapping[str, Any], where: str) -> Tower | None:
    """None without one, and where its config leaves its sizes to the library's defaults."""
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping) or not any(name in vision for name in ("hidden_size", "width", "embed_dim")):
        return None
    return tower(str(config.get("model_type", "")), vision, _Fields(vision, f"{where}: vision_config"))


def _linear(read: _Fields, layers: int) -> Linear | None:
    if read.config.get("linear_num_value_heads") is None:
        return None
    types, step = read.config.get("layer_types"), read.whole("full_attention_interval", default=4, high=MAX_LAYERS)
    if isinstance(types, list) and len(types) == layers:
        which = frozenset(layer for layer, kind in enumerate(types) if kind == "linear_attention")
    else:
        which = frozenset(layer for layer in range(layers) if (layer + 1) % step)
    return Linear(
        layers=which,
        key_heads=read.whole("linear_num_key_heads"),
        value_heads=read.whole("linear_num_value_heads"),
        key_dim=read.whole("linear_key_head_dim"),
        value_dim=read.whole("linear_value_head_dim"),
        kernel=read.whole("linear_conv_kernel_dim", default=4, high=1024),
    )


def _even_share(hidden: int, heads: int, where: str) -> int:
    if hidden % heads:
        raise InputError(f"hidden_size {hidden} is no multiple of num_attention_heads {heads}.", where=where, remedy="Give head_dim.")
    return hidden // heads


def _kv_heads(read: _Fields, heads: int) -> int:
    if read.config.get("multi_query") is True:
        return 1
    kv_heads = read.whole("num_key_value_heads", default=heads)
    if heads % kv_heads:
        raise InputError(f"num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}.", where=read.where)
    return kv_heads


def _latent(read: _Fields) -> Latent:
    q_rank = read.whole("q_lora_rank", default=0) or None
    return Latent(
        kv_rank=read.whole("kv_lora_rank"),
        q_rank=q_rank,
        nope_dim=read.whole("qk_nope_head_dim"),
        rope_dim=read.whole("qk_rope_head_dim"),
        value_dim=read.whole("v_head_dim"),
    )


def _experts(read: _Fields, family: Family) -> Experts | None:
    count = read.whole("n_routed_experts", "num_local_experts", "num_experts", default=0, low=0, high=100_000)
    if count == 0:
        return None
    width = read.whole("moe_intermediate_size", "intermediate_size")
    shared = read.whole("n_shared_experts", default=0, low=0, high=100_000) * width
    if family.name == "Llama4":
        shared = width
    return Experts(
        count=count,
        per_token=read.whole("num_experts_per_tok", "moe_topk", high=count),
        width=width,
        shared_width=read.whole("shared_expert_intermediate_size", default=shared, low=0),
        dense_layers=read.whole("first_k_dense_replace", default=0, low=0, high=MAX_LAYERS),
        biased=family.name == "GptOss",
        step=read.whole("interleave_moe_layer_step", "decoder_sparse_step", default=1, high=MAX_LAYERS),
        shared_gate=read.config.get("shared_expert_intermediate_size") is not None,
    )


def _windows(read: _Fields, family: Family, layers: int) -> tuple[int | None, int]:
    """(window in tokens, layers that keep only a window). ``layer_types`` where the config lists them, else the family's pattern."""
    if read.flag("use_sliding_window", True) is False:
        return None, 0
    window = read.whole("sliding_window", "attention_chunk_size", default=0) or None
    if window is None:
        return None, 0
    types = read.config.get("layer_types")
    if isinstance(types, list) and len(types) == layers:
        return window, sum(kind != "full_attention" for kind in types)
    # Gemma 2 and gpt-oss: every second layer; Gemma 3: five in six; Llama 4: three in four (their technical reports).
    period = {"Gemma2": 2, "GptOss": 2, "Gemma3": read.whole("sliding_window_pattern", default=6), "Llama4": 4}.get(family.name)
    return window, layers - layers // period if period else layers
