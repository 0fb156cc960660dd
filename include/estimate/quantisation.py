"""Weights in fewer bits: what a linear layer of a scheme takes, scales and zero points counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import InputError

BYTES_PER_ELEMENT = {
    "float64": 8.0, "float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "fp8": 1.0, "int64": 8.0, "int32": 4.0, "int16": 2.0, "int8": 1.0,
    "uint8": 1.0, "bool": 1.0, "int4": 0.5, "fp4": 0.5,
}  # fmt: skip
_SPELLINGS = {
    "bf16": "bfloat16", "fp16": "float16", "half": "float16", "f16": "float16", "fp32": "float32", "f32": "float32", "float": "float32",
    "float8_e4m3fn": "fp8", "f8_e4m3": "fp8", "f8_e5m2": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "f64": "float64", "i64": "int64",
    "i32": "int32", "i16": "int16", "i8": "int8", "u8": "uint8", "u32": "int32", "u16": "int16", "u64": "int64", "f4": "fp4",
    "f8_e8m0": "fp8",
}  # fmt: skip


def dtype_name(text: str, where: str = "dtype") -> str:
    """The one spelling of a dtype (``bf16``, ``torch.bfloat16`` and ``BF16`` are all ``bfloat16``)."""
    plain = text.lower().removeprefix("torch.")
    plain = _SPELLINGS.get(plain, plain)
    if plain not in BYTES_PER_ELEMENT:
        raise InputError(f"unknown dtype {text!r:.60}.", where=where, remedy=f"Use one of {', '.join(sorted(BYTES_PER_ELEMENT))}.")
    return plain


def dtype_bytes(dtype: str) -> float:
    """Bytes of one element."""
    return BYTES_PER_ELEMENT[dtype_name(dtype)]


@dataclass(frozen=True)
class Scheme:
    """How linear weights are kept: ``bits`` each; per group of ``group`` inputs (0: per output row; None: one scale) a scale, maybe a zero.

    Embeddings, the output head, norms, biases, routers and vision towers stay in the model's own dtype in all of these.
    ``pad_expert_width`` rounds experts' width up to a multiple (vLLM's MXFP4 kernels on Hopper); ``experts_only`` leaves attention
    alone too (gpt-oss).
    """

    name: str
    bits: int
    group: int | None = None
    scale_bytes: float = 2.0
    zeros: bool = False
    block_rows: int = 1
    pad_expert_width: int = 1
    experts_only: bool = False

    def matrix_bytes(self, rows: int, cols: int) -> float:
        """Bytes of a [rows, cols] weight (outputs, inputs)."""
        scales = 1 if self.group is None else -(-rows // self.block_rows) * (-(-cols // self.group) if self.group else 1)
        return rows * cols * self.bits / 8 + scales * (self.scale_bytes + (self.bits / 8 if self.zeros else 0.0))


# Sources: vLLM's quantisation layers (fp8.py, compressed_tensors, awq_marlin.py, gptq_marlin.py, mxfp4.py); OCP MX v1.0 for MXFP4's blocks
# of 32 with one byte of scale. GPTQ's symmetric zero points are dropped when the engine repacks them.
SCHEMES = {
    "fp8": Scheme("fp8", 8, None, 4.0),
    "fp8-dynamic": Scheme("fp8-dynamic", 8, 0, 4.0),
    "fp8-block": Scheme("fp8-block", 8, 128, 4.0, block_rows=128),
    "int8": Scheme("int8", 8, 0, 4.0),
    "awq": Scheme("awq", 4, 128, 2.0, zeros=True),
    "gptq": Scheme("gptq", 4, 128, 2.0),
    "w4a16": Scheme("w4a16", 4, 128, 2.0),
    "mxfp4": Scheme("mxfp4", 4, 32, 1.0, pad_expert_width=256, experts_only=True),
}
_ALIASES = {"fp8(runtime)": "fp8", "w8a8": "int8", "w8a16": "int8", "fp8_dynamic": "fp8-dynamic", "int4": "w4a16", "fp8dyn": "fp8-dynamic",
            "awq_marlin": "awq", "gptq_marlin": "gptq", "int8-w8a8": "int8", "int8_w8a8": "int8", "int4-w4a16": "w4a16"}  # fmt: skip
# How published quantised checkpoints are named: the suffix says the scheme.
_SUFFIXES = (
    (re.compile(r"[-_.]fp8[-_]dynamic$", re.I), "fp8-dynamic"),
    (re.compile(r"[-_.]fp8([-_]kv)?$", re.I), "fp8"),
    (re.compile(r"[-_.]quantized\.w4a16$|[-_.]w4a16([-_]g128)?$", re.I), "w4a16"),
    (re.compile(r"[-_.]quantized\.w8a(8|16)$|[-_.]w8a(8|16)$|[-_.]int8$", re.I), "int8"),
    (re.compile(r"[-_.]awq([-_]int4)?$", re.I), "awq"),
    (re.compile(r"[-_.]gptq([-_]int4)?$", re.I), "gptq"),
)


def scheme(text: str, where: str = "quantisation") -> Scheme | None:
    """The scheme of a name; None for ``""``, ``none`` and ``kv_fp8`` (which is about the cache, not the weights)."""
    plain = text.strip().lower()
    if plain in {"", "none", "kv_fp8"}:
        return None
    found = SCHEMES.get(_ALIASES.get(plain, plain))
    if found is None:
        raise InputError(f"unknown quantisation {text!r:.60}.", where=where, remedy=f"Use one of {', '.join(SCHEMES)}.")
    return found


def split_suffix(model: str) -> tuple[str, Scheme | None]:
    """``Org/Name-FP8-dynamic`` → (``Org/Name``, its scheme)."""
    for pattern, name in _SUFFIXES:
        if pattern.search(model):
            return pattern.sub("", model), SCHEMES[name]
    return model, None


def scheme_of_config(config: Mapping[str, Any], where: str) -> Scheme | None:
    """What a config.json's ``quantization_config`` says, or None. A method we do not know is an InputError, not a guess."""
    quant = config.get("quantization_config")
    if not isinstance(quant, Mapping):
        return None
    method, bits = str(quant.get("quant_method", "")).lower(), quant.get("bits", quant.get("w_bit", 4))
    group = quant.get("group_size", 128)
    if method == "compressed-tensors":
        return _compressed(quant, where)
    if method in {"awq", "gptq"}:
        if bits not in (4, 8) or isinstance(group, bool) or not isinstance(group, int) or not (group == -1 or 1 <= group <= 65_536):
            raise InputError(f"bits {bits!r:.20}, group_size {group!r:.20}.", where=where, remedy="bits 4 or 8, group_size -1 or a size.")
        return Scheme(method, bits, 0 if group == -1 else group, 2.0, zeros=method == "awq")
    if method == "fp8":
        return SCHEMES["fp8-block" if quant.get("weight_block_size") else "fp8"]
    return scheme(method, where)


def _compressed(quant: Mapping[str, Any], where: str) -> Scheme:
    groups = quant.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if not isinstance(weights, Mapping) or weights.get("num_bits") not in (4, 8):
        raise InputError("quantization_config has no config_groups with weights of 4 or 8 bits.", where=where)
    if weights["num_bits"] == 4:
        size = weights.get("group_size")
        symmetric = weights.get("symmetric", True)
        return Scheme("w4a16", 4, size if isinstance(size, int) and size > 0 else 0, 2.0, zeros=not symmetric)
    return SCHEMES["fp8-dynamic" if weights.get("type") == "float" else "int8"]
