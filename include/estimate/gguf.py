"""GGUF files: their tensors by quantisation type and their architecture, from the header alone; and what a name such as Q4_K_M makes of a
model.

Format: ggml/docs/gguf.md (versions 2 and 3). Block sizes: ggml/src/ggml-common.h. Which tensor gets which type: llama_tensor_get_type in
llama.cpp's src/llama-quant.cpp, for the mixes listed in :data:`MIXES`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from include.errors import InputError
from include.estimate.architecture import Architecture
from include.estimate.tensors import Tensor, tensors_of
from include.runtime import untrusted

MAX_HEADER_BYTES = 256 * 1024 * 1024
MAX_TENSORS, MAX_FIELDS, MAX_ITEMS = 200_000, 100_000, 10_000_000
KEPT_ITEMS = 10_000
"""A longer list (a vocabulary) is counted, not kept."""
# ggml's number of a type: its name, elements of a block, bytes of a block.
TYPES = {
    0: ("float32", 1, 4), 1: ("float16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22), 7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34), 9: ("q8_1", 32, 40), 10: ("q2_k", 256, 84), 11: ("q3_k", 256, 110), 12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 15: ("q8_k", 256, 292), 16: ("iq2_xxs", 256, 66), 17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98), 19: ("iq1_s", 256, 50), 20: ("iq4_nl", 32, 18), 21: ("iq3_s", 256, 110), 22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136), 24: ("int8", 1, 1), 25: ("int16", 1, 2), 26: ("int32", 1, 4), 27: ("int64", 1, 8), 28: ("float64", 1, 8),
    29: ("iq1_m", 256, 56), 30: ("bfloat16", 1, 2), 34: ("tq1_0", 256, 54), 35: ("tq2_0", 256, 66), 39: ("mxfp4", 32, 17),
    40: ("nvfp4", 64, 36),
}  # fmt: skip
SIZES = {name: (block, size) for name, block, size in TYPES.values()}
# A mix's usual type, what its head is, and what the layers that matter more have for values and the MLP's way down.
MIXES = {
    "f16": ("float16", "float16", "float16"), "bf16": ("bfloat16", "bfloat16", "bfloat16"), "q8_0": ("q8_0", "q8_0", "q8_0"),
    "q6_k": ("q6_k", "q6_k", "q6_k"), "q5_k_m": ("q5_k", "q6_k", "q6_k"), "q4_k_m": ("q4_k", "q6_k", "q6_k"),
    "q4_0": ("q4_0", "q6_k", "q4_0"),
}  # fmt: skip
# llama.cpp's names of tensors, as Hugging Face has them.
_NAMES = (
    (r"^token_embd\.", "model.embed_tokens."), (r"^output_norm\.", "model.norm."), (r"^output\.", "lm_head."),
    (r"^blk\.(\d+)\.", r"model.layers.\1."), (r"\.attn_([qkv])\.", r".self_attn.\1_proj."), (r"\.attn_output\.", ".self_attn.o_proj."),
    (r"\.ffn_(gate|up|down)\.", r".mlp.\1_proj."), (r"\.ffn_(gate|up|down)_exps\.", r".mlp.experts.\1_proj."),
    (r"\.ffn_(gate|up|down)_shexp\.", r".mlp.shared_experts.\1_proj."), (r"\.ffn_gate_inp\.", ".mlp.gate."),
    (r"\.attn_norm\.", ".input_layernorm."), (r"\.ffn_norm\.", ".post_attention_layernorm."),
)  # fmt: skip
_FAMILIES = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "deepseek2": "deepseek_v2", "gpt-oss": "gpt_oss", "qwen3next": "qwen3_next"}
# A field of the file's architecture, and what config.json calls it.
_FIELDS = {
    "block_count": "num_hidden_layers", "embedding_length": "hidden_size", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.key_length": "head_dim", "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings", "attention.sliding_window": "sliding_window", "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok", "expert_feed_forward_length": "moe_intermediate_size", "vocab_size": "vocab_size",
    "leading_dense_block_count": "first_k_dense_replace", "attention.kv_lora_rank": "kv_lora_rank",
    "attention.q_lora_rank": "q_lora_rank", "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "full_attention_interval": "full_attention_interval",
}  # fmt: skip


def type_bytes(name: str, shape: tuple[int, ...], where: str = "type") -> float:
    """Bytes of a tensor of this type, whose rows are whole blocks. Raises InputError where they are not."""
    block, size = SIZES[name]
    if shape and shape[-1] % block:
        raise InputError(f"rows of {shape[-1]} elements are no whole blocks of {name}.", where=where, remedy="Download the file again.")
    return math.prod(shape) / block * size


def read_gguf(path: Path) -> tuple[dict[str, Any], list[Tensor]]:
    """(a config.json's fields, tensors) of a GGUF file, named as Hugging Face names them. Raises InputError naming the file and what is
    wrong with it."""
    try:
        with untrusted.plain(path) as file:
            fields, tensors = _header(_Reader(file, path))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from error
    return _config(fields, tensors, path), tensors


def mix_tensors(arch: Architecture, mix: str) -> list[Tensor]:
    """The tensors of the model when quantised to ``mix`` (``q4_k_m``); what has no rows of whole blocks stays in 16 bits."""
    if mix not in MIXES:
        raise InputError(f"unknown mix {mix!r:.40}.", where="dtype", remedy=f"Use one of {', '.join(MIXES)}, or give the GGUF file.")
    usual, head, more = MIXES[mix]
    found = []
    for tensor in tensors_of(arch, "float32"):
        kind = "float32"
        if len(tensor.shape) >= 2 and ".mlp.gate." not in tensor.name:
            is_head = tensor.name.startswith("lm_head.") or (arch.tied and "embed_tokens" in tensor.name)
            kind = head if is_head else more if _matters(tensor.name, arch.layers) else usual
            kind = kind if tensor.shape[-1] % SIZES[kind][0] == 0 else "float16"
        found.append(Tensor(tensor.name, tensor.shape, kind, type_bytes(kind, tensor.shape)))
    return found


def _matters(name: str, layers: int) -> bool:
    """Whether llama.cpp gives it more bits: values and the way down, in the first and last eighth and every third layer between."""
    match = re.search(r"layers\.(\d+)\..*(v_proj|down_proj)\.", name)
    if not match:
        return False
    layer, eighth = int(match.group(1)), layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


class _Reader:
    """Reads little-endian values, at most :data:`MAX_HEADER_BYTES` of them."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self.path, self._left = file, path, MAX_HEADER_BYTES

    def bytes(self, count: int) -> bytes:
        self._left -= count
        if count < 0 or self._left < 0:
            raise InputError(f"its header is over {MAX_HEADER_BYTES} bytes.", where=str(self.path), remedy="Download it again.")
        found = self._file.read(count)
        if len(found) != count:
            raise InputError("it ends within its header.", where=str(self.path), remedy="Download it again.")
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self.bytes(struct.calcsize(f"<{form}")))[0]

    def count(self, what: str, most: int) -> int:
        found: int = self.number("Q")
        if found > most:
            raise InputError(f"its header lists {found} {what}, over {most}.", where=str(self.path), remedy="Download it again.")
        return found

    def text(self) -> str:
        return self.bytes(self.count("characters", MAX_HEADER_BYTES)).decode("utf-8", "replace")


_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9


def _header(read: _Reader) -> tuple[dict[str, Any], list[Tensor]]:
    if read.bytes(4) != b"GGUF" or read.number("I") not in (2, 3):
        raise InputError("no GGUF file of version 2 or 3.", where=str(read.path), remedy="Give a file that llama.cpp reads today.")
    tensors, fields = read.count("tensors", MAX_TENSORS), read.count("fields", MAX_FIELDS)
    found = {read.text(): _value(read, read.number("I")) for _ in range(fields)}
    return found, [_tensor(read) for _ in range(tensors)]


def _value(read: _Reader, kind: int) -> Any:
    """A field's value; of a long list its length alone."""
    if kind == _TEXT:
        return read.text()
    if kind != _LIST:
        if kind not in _FORMS:
            raise InputError(f"a field has the unknown type {kind}.", where=str(read.path))
        return read.number(_FORMS[kind])
    item, count = read.number("I"), read.count("items", MAX_ITEMS)
    if item in _FORMS:
        raw = read.bytes(count * struct.calcsize(f"<{_FORMS[item]}"))
        return list(struct.unpack(f"<{count}{_FORMS[item]}", raw)) if count <= KEPT_ITEMS else count
    if item != _TEXT:
        raise InputError(f"a field is a list of the type {item}.", where=str(read.path))
    for _ in range(count):
        read.text()
    return count


def _tensor(read: _Reader) -> Tensor:
    name = read.text()
    dimensions = read.number("I")
    where = f"{read.path}: {name:.80}"
    if dimensions > 4:
        raise InputError(f"has {dimensions} dimensions.", where=where)
    shape = tuple(reversed([read.number("Q") for _ in range(dimensions)]))
    kind = read.number("I")
    read.number("Q")  # where it stands
    if kind not in TYPES or any(size >= 2**40 for size in shape):
        raise InputError(f"type {kind}, shape {shape!s:.60}.", where=where, remedy=f"Types known: {', '.join(SIZES)}.")
    return Tensor(_plain_name(name), shape, TYPES[kind][0], type_bytes(TYPES[kind][0], shape, where))


def _plain_name(name: str) -> str:
    for pattern, plain in _NAMES:
        name = re.sub(pattern, plain, name)
    return name


def _config(fields: Mapping[str, Any], tensors: list[Tensor], path: Path) -> dict[str, Any]:
    arch = str(fields.get("general.architecture", ""))
    if not arch:
        raise InputError("no field general.architecture.", where=str(path), remedy="Give a language model's GGUF file.")
    config: dict[str, Any] = {"model_type": _FAMILIES.get(arch, arch), "dtype": "float16"}
    for name, plain in _FIELDS.items():
        value = fields.get(f"{arch}.{name}")
        if isinstance(value, list):  # one for each layer; those without are linear or absent
            value = max((item for item in value if isinstance(item, int)), default=None)
        if value:
            config[plain] = value
    names = {tensor.name: tensor for tensor in tensors}
    embed = names.get("model.embed_tokens.weight")
    if embed is not None and len(embed.shape) == 2:
        config["vocab_size"] = embed.shape[0]
    config["tie_word_embeddings"] = "lm_head.weight" not in names
    config |= dict(_latent(fields, arch)) | dict(_linear(fields, arch))
    return config


def _latent(fields: Mapping[str, Any], arch: str) -> Iterator[tuple[str, Any]]:
    if f"{arch}.attention.kv_lora_rank" not in fields:
        return
    get: Callable[[str, int], int] = lambda name, default: int(fields.get(f"{arch}.{name}", default))  # noqa: E731
    rope = get("rope.dimension_count", 64)
    key = get("attention.key_length_mla", get("attention.key_length", 192))
    yield "qk_rope_head_dim", rope
    yield "qk_nope_head_dim", max(1, key - rope)
    yield "v_head_dim", get("attention.value_length_mla", get("attention.value_length", 128))
    yield "num_key_value_heads", get("attention.head_count", 1)


def _linear(fields: Mapping[str, Any], arch: str) -> Iterator[tuple[str, Any]]:
    """State-space fields of a gated delta network, as llama.cpp names them."""
    if f"{arch}.ssm.time_step_rank" not in fields:
        return
    heads, inner = int(fields[f"{arch}.ssm.time_step_rank"]), int(fields.get(f"{arch}.ssm.inner_size", 0))
    yield "linear_num_value_heads", heads
    yield "linear_num_key_heads", int(fields.get(f"{arch}.ssm.group_count", heads))
    yield "linear_key_head_dim", int(fields.get(f"{arch}.ssm.state_size", 128))
    yield "linear_value_head_dim", max(1, inner // max(1, heads))
    yield "linear_conv_kernel_dim", int(fields.get(f"{arch}.ssm.conv_kernel", 4))
