"""Weights in fewer bits: what a linear layer of a scheme takes, scales and zero points counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
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
    alone too (gpt-oss). A partly quantised checkpoint names modules: ``ignored`` stay in the model's dtype; a scheme with ``targets`` is
    for those alone, and what no target names is left to the next of ``others``.
    """

    name: str
    bits: int
    group: int | None = None
    scale_bytes: float = 2.0
    zeros: bool = False
    block_rows: int = 1
    pad_expert_width: int = 1
    experts_only: bool = False
    ignored: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    others: tuple[Scheme, ...] = ()

    def of(self, module: str) -> Scheme | None:
        """The scheme that keeps a module (``model.layers.0.mlp.gate_proj``); None where its weight stays in the model's own dtype."""
        if self.ignored and _names(self.ignored).search(module):
            return None
        if not self.targets or _names(self.targets).search(module):
            return self
        return next((found for other in self.others if (found := other.of(module))), None)

    def matrix_bytes(self, rows: int, cols: int) -> float:
        """Bytes of a [rows, cols] weight (outputs, inputs)."""
        scales = 1 if self.group is None else -(-rows // self.block_rows) * (-(-cols // self.group) if self.group else 1)
        return rows * cols * self.bits / 8 + scales * (self.scale_bytes + (self.bits / 8 if self.zeros else 0.0))


@cache
def _names(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for what a checkpoint's config lists: ``re:`` and an expression from the name's start, or dotted parts of a name.

    ``visual`` is every module below one of that name; ``mlp.gate`` is not ``mlp.gate_proj``.
    """
    written = [text.removeprefix("re:") for text in patterns if text.startswith("re:")]
    plain = [re.escape(text.strip(".")) for text in patterns if not text.startswith("re:") and text.strip(".")]
    parts = [f"^(?:{text})" for text in written] + ([rf"(?:^|\.)(?:{'|'.join(plain)})(?:\.|$)"] if plain else [])
    return re.compile("|".join(parts) or "(?!)")


# Sources: vLLM's quantisation layers (fp8.py, compressed_tensors, awq_marlin.py, gptq_marlin.py, mxfp4.py); OCP MX v1.0 for MXFP4's blocks
# of 32 with one byte of scale. GPTQ's symmetric zero points are dropped when the engine repacks them.
SCHEMES = {
    "fp8": Scheme("fp8", 8, None, 4.0),
    "fp8-dynamic": Scheme("fp8-dynamic", 8, 0, 4.0),
    "fp8-block": Scheme("fp8-block", 8, 128, 4.0, block_rows=128),
    "fbgemm_fp8": Scheme("fbgemm_fp8", 8, 0, 4.0),
    # NF4: a block of 64 has one absolute maximum, itself in 8 bits with one 32-bit factor to 256 of them (QLoRA, section 3).
    "bitsandbytes": Scheme("bitsandbytes", 4, 64, 1 + 4 / 256),
    "nvfp4": Scheme("nvfp4", 4, 16, 1.0),
    "int8": Scheme("int8", 8, 0, 4.0),
    "awq": Scheme("awq", 4, 128, 2.0, zeros=True),
    "gptq": Scheme("gptq", 4, 128, 2.0),
    "w4a16": Scheme("w4a16", 4, 128, 2.0),
    "mxfp4": Scheme("mxfp4", 4, 32, 1.0, pad_expert_width=256, experts_only=True),
}
_ALIASES = {
    "fp8(runtime)": "fp8", "w8a8": "int8", "w8a16": "int8", "fp8_dynamic": "fp8-dynamic", "int4": "w4a16", "fp8dyn": "fp8-dynamic",
    "awq_marlin": "awq", "gptq_marlin": "gptq", "int8-w8a8": "int8", "int8_w8a8": "int8", "int4-w4a16": "w4a16", "bnb": "bitsandbytes",
    "bnb-4bit": "bitsandbytes", "fbgemm": "fbgemm_fp8", "fp4": "nvfp4",
}  # fmt: skip
# How published quantised checkpoints are named: the suffix says the scheme.
_SUFFIXES = (
    (re.compile(r"[-_.]fp8[-_]dynamic$", re.I), "fp8-dynamic"),
    (re.compile(r"[-_.]fp8([-_]kv)?$", re.I), "fp8"),
    (re.compile(r"[-_.]quantized\.w4a16$|[-_.]w4a16([-_]g128)?$", re.I), "w4a16"),
    (re.compile(r"[-_.]quantized\.w8a(8|16)$|[-_.]w8a(8|16)$|[-_.]int8$", re.I), "int8"),
    (re.compile(r"[-_.]awq([-_]int4)?$", re.I), "awq"),
    (re.compile(r"[-_.]gptq([-_]int4)?$", re.I), "gptq"),
    (re.compile(r"[-_.]bnb[-_]4bit$", re.I), "bitsandbytes"),
    (re.compile(r"[-_.]nvfp4$", re.I), "nvfp4"),
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
    """What a config.json's ``quantization_config`` says, with the modules that it leaves alone, or None. A method we do not know is an
    InputError, not a guess."""
    quant = config.get("quantization_config")
    if not isinstance(quant, Mapping):
        text = config.get("text_config")
        quant = text.get("quantization_config") if isinstance(text, Mapping) else None
    if not isinstance(quant, Mapping):
        return None
    method = str(quant.get("quant_method", "")).lower()
    ignored = _module_list(quant, where)
    if method == "compressed-tensors":
        return replace(_compressed(quant, where), ignored=ignored)
    return replace(_of_method(method, quant, where), ignored=ignored)


def _of_method(method: str, quant: Mapping[str, Any], where: str) -> Scheme:
    if method in {"awq", "gptq"}:
        bits, group = quant.get("bits", quant.get("w_bit", 4)), quant.get("group_size", 128)
        if bits not in (4, 8) or isinstance(group, bool) or not isinstance(group, int) or not (group == -1 or 1 <= group <= 65_536):
            raise InputError(f"bits {bits!r:.20}, group_size {group!r:.20}.", where=where, remedy="bits 4 or 8, group_size -1 or a size.")
        return Scheme(method, bits, 0 if group == -1 else group, 2.0, zeros=method == "awq")
    if method == "fp8":
        return SCHEMES["fp8-block" if quant.get("weight_block_size") else "fp8"]
    if method == "bitsandbytes":
        if quant.get("load_in_8bit") is True:
            return Scheme("bitsandbytes", 8, 0, 4.0)
        double = quant.get("bnb_4bit_use_double_quant", False) is True
        return SCHEMES["bitsandbytes"] if double else replace(SCHEMES["bitsandbytes"], scale_bytes=4.0)
    if method == "modelopt":
        kind = str(quant.get("quant_algo", "")).lower()
        return SCHEMES["nvfp4" if "fp4" in kind else "fp8"]
    found = scheme(method, where)
    if found is None:
        remedy = f"quant_method is one of {', '.join(SCHEMES)}."
        raise InputError(f"quantization_config.quant_method is {method!r:.60}.", where=where, remedy=remedy)
    return found


MODULE_LISTS = ("ignore", "ignored_layers", "modules_to_not_convert", "llm_int8_skip_modules", "exclude_modules")
"""Under these names configs list what is not quantised: compressed-tensors; FP8; AWQ, FP8 and fbgemm; bitsandbytes; ModelOpt."""
MAX_MODULES = 100_000
_NESTED = re.compile(r"[*+}]\)?[*+{]|\|[^()]*\)[*+{]")
"""Repetitions within one another, which can take a time exponential in a name's length."""


def _module_list(quant: Mapping[str, Any], where: str) -> tuple[str, ...]:
    found: list[str] = []
    for name in MODULE_LISTS:
        listed = quant.get(name) or []
        good = isinstance(listed, list) and len(listed) <= MAX_MODULES and all(isinstance(item, str) for item in listed)
        if not good:
            raise InputError(f"quantization_config.{name} is {listed!r:.60}.", where=where, remedy="It must be a list of module names.")
        found += listed
    dynamic = quant.get("dynamic")  # GPTQModel's: what begins with "-:" is left alone
    if isinstance(dynamic, Mapping):
        found += [f"re:{text.removeprefix('-:')}" for text in dynamic if isinstance(text, str) and text.startswith("-:")]
    _checked(found, where)
    return tuple(dict.fromkeys(found))


def _checked(patterns: list[str], where: str) -> None:
    """InputError for an expression that is none, or that could take for ever."""
    for text in patterns:
        if not text.startswith("re:"):
            continue
        if len(text) > 500 or _NESTED.search(text):
            raise InputError(f"quantization_config has the expression {text!r:.80}.", where=where, remedy="Name the modules instead.")
        try:
            re.compile(text.removeprefix("re:"))
        except re.error as error:
            raise InputError(f"quantization_config has the expression {text!r:.80}: {error}.", where=where) from error


def _compressed(quant: Mapping[str, Any], where: str) -> Scheme:
    groups = quant.get("config_groups")
    found = list(_groups(groups, where)) if isinstance(groups, Mapping) else []
    if not found:
        raise InputError("quantization_config has no config_groups with weights of 4 or 8 bits.", where=where)
    return replace(found[0], others=tuple(found[1:]))


def _groups(groups: Mapping[str, Any], where: str) -> Iterator[Scheme]:
    """One scheme for each group; those for named modules before that for every linear layer."""
    found = [_group(group, where) for group in groups.values()]
    yield from sorted(found, key=lambda one: not one.targets)


def _group(group: object, where: str) -> Scheme:
    weights = group.get("weights") if isinstance(group, Mapping) else None
    if not isinstance(group, Mapping) or not isinstance(weights, Mapping) or weights.get("num_bits") not in (4, 8):
        raise InputError("quantization_config has a group without weights of 4 or 8 bits.", where=where)
    targets = group.get("targets") or []
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise InputError(f"quantization_config has targets {targets!r:.60}.", where=where, remedy="They must be a list of names.")
    _checked(targets, where)
    # "Linear" is a class and means every linear layer.
    named = () if "Linear" in targets else tuple(target for target in targets if "." in target or target.startswith("re:"))
    return replace(_weights(weights), targets=named)


def _weights(weights: Mapping[str, Any]) -> Scheme:
    if weights["num_bits"] == 4:
        size = weights.get("group_size")
        group = size if isinstance(size, int) and size > 0 else 0
        if weights.get("type") == "float":
            return Scheme("nvfp4" if group == 16 else "mxfp4", 4, group, 1.0)
        return Scheme("w4a16", 4, group, 2.0, zeros=not weights.get("symmetric", True))
    if weights.get("strategy") == "block":
        return SCHEMES["fp8-block"]
    return SCHEMES["fp8-dynamic" if weights.get("type") == "float" else "int8"]
