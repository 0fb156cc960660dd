"""The tensors of a model, whether listed by a checkpoint's headers or derived from its architecture: one list, one naming, one rule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from include.estimate.architecture import Architecture, Experts
from include.estimate.quantisation import Scheme, dtype_bytes

_NEVER = (
    ".mlp.gate.", ".router", ".block_sparse_moe.gate.", "shared_expert_gate", "conv1d", "in_proj_ba", "norm", "bias", "vision", "visual",
    "embed",
)  # fmt: skip
"""In no scheme: routers, norms, biases, embeddings, towers; the convolution and the gates of linear attention."""


@dataclass(frozen=True)
class Tensor:
    """One named weight. ``bytes`` is what it takes as stored or as its scheme keeps it; ``params`` its number of elements."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: float

    @property
    def params(self) -> int:
        return math.prod(self.shape)


def tensors_of(arch: Architecture, dtype: str, scheme: Scheme | None = None) -> list[Tensor]:
    """The tensors that a checkpoint of this architecture has, named as Hugging Face names them; experts of a layer are one stack."""
    found = [_plain("model.embed_tokens.weight", (arch.vocab, arch.hidden), dtype), _plain("model.norm.weight", (arch.hidden,), dtype)]
    if not arch.tied:
        found.append(_plain("lm_head.weight", (arch.vocab, arch.hidden), dtype))
    if arch.family.all_biased:
        found += [_plain("model.norm.bias", (arch.hidden,), dtype), _plain("lm_head.bias", (arch.vocab,), dtype)]
    for layer in range(arch.layers):
        for name, shape in _layer(arch, layer, scheme):
            full = f"model.layers.{layer}.{name}"
            found.append(quantised(full, shape, dtype, scheme) if scheme and touches(scheme, full, shape) else _plain(full, shape, dtype))
    if arch.extra_params:
        found.append(_plain("vision_tower.parameters", (arch.extra_params,), dtype))
    if arch.vision:
        found += [_plain(name, shape, dtype) for name, shape in arch.vision.shapes(arch.hidden)]
    return found


def quantised(name: str, shape: tuple[int, ...], dtype: str, scheme: Scheme) -> Tensor:
    """A linear weight [..., rows, cols] as ``scheme`` keeps it."""
    own = scheme.of(name.removesuffix(".weight")) or scheme
    return Tensor(name, shape, dtype, math.prod(shape[:-2]) * own.matrix_bytes(shape[-2], shape[-1]))


def touches(scheme: Scheme, name: str, shape: tuple[int, ...]) -> bool:
    """Whether the scheme quantises it: a matrix inside a decoder layer that is no router, norm or embedding, and that the checkpoint's
    config does not leave alone."""
    if scheme.experts_only and ".experts." not in name:
        return False
    if len(shape) < 2 or ".layers." not in name or any(part in name for part in _NEVER):
        return False
    return scheme.of(name.removesuffix(".weight")) is not None


def _plain(name: str, shape: tuple[int, ...], dtype: str) -> Tensor:
    return Tensor(name, shape, dtype, math.prod(shape) * dtype_bytes(dtype))


def _layer(arch: Architecture, layer: int, scheme: Scheme | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    for norm in norms[: arch.family.norms_per_layer]:
        yield f"{norm}.weight", (arch.hidden,)
        if arch.family.all_biased:
            yield f"{norm}.bias", (arch.hidden,)
    if arch.linear and layer in arch.linear.layers:
        yield from _linear_attention(arch)
    else:
        yield from _latent_attention(arch) if arch.latent else _attention(arch)
    if arch.experts and arch.experts.on(layer):
        yield from _expert_layer(arch, arch.experts, scheme)
    else:
        yield from _mlp(arch, "mlp", arch.intermediate)


def _attention(arch: Architecture) -> Iterator[tuple[str, tuple[int, ...]]]:
    q, kv = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    # Where attention is gated, the queries' matrix makes the gate too.
    for name, rows in (("q", q * (2 if arch.family.gated_attention else 1)), ("k", kv), ("v", kv)):
        yield f"self_attn.{name}_proj.weight", (rows, arch.hidden)
        if arch.family.qkv_bias:
            yield f"self_attn.{name}_proj.bias", (rows,)
    yield "self_attn.o_proj.weight", (arch.hidden, q)
    if arch.family.all_biased or arch.family.name == "GptOss":
        yield "self_attn.o_proj.bias", (arch.hidden,)
    if arch.family.name == "GptOss":
        yield "self_attn.sinks", (arch.heads,)
    if arch.family.head_norms:
        yield "self_attn.q_norm.weight", (arch.head_dim,)
        yield "self_attn.k_norm.weight", (arch.head_dim,)


def _latent_attention(arch: Architecture) -> Iterator[tuple[str, tuple[int, ...]]]:
    mla = arch.latent
    assert mla is not None  # the caller looked
    q_rows = arch.heads * (mla.nope_dim + mla.rope_dim)
    if mla.q_rank:
        yield "self_attn.q_a_proj.weight", (mla.q_rank, arch.hidden)
        yield "self_attn.q_a_layernorm.weight", (mla.q_rank,)
        yield "self_attn.q_b_proj.weight", (q_rows, mla.q_rank)
    else:
        yield "self_attn.q_proj.weight", (q_rows, arch.hidden)
    yield "self_attn.kv_a_proj_with_mqa.weight", (mla.kv_rank + mla.rope_dim, arch.hidden)
    yield "self_attn.kv_a_layernorm.weight", (mla.kv_rank,)
    yield "self_attn.kv_b_proj.weight", (arch.heads * (mla.nope_dim + mla.value_dim), mla.kv_rank)
    yield "self_attn.o_proj.weight", (arch.hidden, arch.heads * mla.value_dim)


def _linear_attention(arch: Architecture) -> Iterator[tuple[str, tuple[int, ...]]]:
    linear = arch.linear
    assert linear is not None  # the caller looked
    values = linear.value_heads * linear.value_dim
    yield "linear_attn.in_proj_qkvz.weight", (linear.channels + values, arch.hidden)
    yield "linear_attn.in_proj_ba.weight", (2 * linear.value_heads, arch.hidden)
    yield "linear_attn.conv1d.weight", (linear.channels, 1, linear.kernel)
    yield "linear_attn.dt_bias", (linear.value_heads,)
    yield "linear_attn.A_log", (linear.value_heads,)
    yield "linear_attn.norm.weight", (linear.value_dim,)
    yield "linear_attn.out_proj.weight", (arch.hidden, values)


def _mlp(arch: Architecture, where: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    if not arch.family.gated:
        yield f"{where}.fc1.weight", (width, arch.hidden)
        yield f"{where}.fc1.bias", (width,)
        yield f"{where}.fc2.weight", (arch.hidden, width)
        yield f"{where}.fc2.bias", (arch.hidden,)
        return
    yield f"{where}.gate_proj.weight", (width, arch.hidden)
    yield f"{where}.up_proj.weight", (width, arch.hidden)
    yield f"{where}.down_proj.weight", (arch.hidden, width)


def _expert_layer(arch: Architecture, experts: Experts, scheme: Scheme | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    multiple = scheme.pad_expert_width if scheme else 1
    width = -(-experts.width // multiple) * multiple
    yield "mlp.gate.weight", (experts.count, arch.hidden)
    yield "mlp.experts.gate_proj.weight", (experts.count, width, arch.hidden)
    yield "mlp.experts.up_proj.weight", (experts.count, width, arch.hidden)
    yield "mlp.experts.down_proj.weight", (experts.count, arch.hidden, width)
    if experts.biased:
        yield "mlp.gate.bias", (experts.count,)
        yield "mlp.experts.gate_up_proj_bias", (experts.count, 2 * width)
        yield "mlp.experts.down_proj_bias", (experts.count, arch.hidden)
    if arch.family.name == "DeepseekV3":
        yield "mlp.gate.e_score_correction_bias", (experts.count,)
    if experts.shared_width:
        yield from _mlp(arch, "mlp.shared_experts", experts.shared_width)
    if experts.shared_gate:
        yield "mlp.shared_expert_gate.weight", (1, arch.hidden)
