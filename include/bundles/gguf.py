"""A Hugging Face model as GGUF files, the form that llama.cpp serves: in 16 bits, or quantised block by block.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only what comes out the same is converted: see :func:`check`, and
what `llm.optimize` compares.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles import tokenizer as tokenizers
from include.bundles.chat import F16
from include.errors import InputError

if TYPE_CHECKING:
    import gguf
    import numpy as np
    import numpy.typing as npt
    from transformers import PreTrainedTokenizerBase

    Array = npt.NDArray[np.float32]

FORMS = (F16, "q8_0", "q4_0")
"""What a model can be written as; the first loses nothing that matters."""
ARCHITECTURES = {"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2"}
LLAMA3 = "llama3"
BLOCK = 32
"""Weights that share a scale; a row that is no multiple of it stays in 16 bits."""
_DIGITS_1 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PRE = {
    _DIGITS_1: "qwen2",
    _DIGITS_1.replace(r"|\p{N}|", r"|\p{N}{1,3}|"): "llama-bpe",
    "gpt-2": "gpt-2",
    "digits, gpt-2": "smollm",
}
"""How the tokenizer cuts a text into words (its regular expression), and llama.cpp's name for it."""


def write(model: Path, forms: Sequence[str], folder: Path) -> dict[str, Path]:
    """Form → file, ``folder/<form>.gguf``, whole or not at all.

    Raises ``InputError`` for an architecture or a tokenizer that llama.cpp would read otherwise.
    """
    config = json.loads((model / "config.json").read_text())
    tokenizer = tokenizers.load(model, normalises=False)
    check(model, tokenizer)
    architecture = ARCHITECTURES[config["architectures"][0]]
    files = {}
    for form in forms:
        part, files[form] = folder / f".{form}.part", folder / f"{form}.gguf"
        _write(part, model, config, architecture, tokenizer, form)
        os.replace(part, files[form])
    return files


def write_vocabulary(model: Path, tokenizer: PreTrainedTokenizerBase, file: Path) -> None:
    """The model's tokenizer and template in a ``file`` that llama.cpp serves: behind them a network of one narrow layer, all zeros.

    It shows in a second what llama.cpp makes of a prompt, before there is a trained model to convert.
    """
    import gguf
    import numpy as np

    config = json.loads((model / "config.json").read_text())
    config |= {"hidden_size": BLOCK, "intermediate_size": BLOCK, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    config |= {"head_dim": BLOCK, "rope_scaling": None, "rope_parameters": None, "rms_norm_eps": 1e-6}
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _add_shape(writer, config, model)
    _add_tokenizer(writer, tokenizer, config, model)
    square, row = (BLOCK, BLOCK), (BLOCK,)
    layer = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes = {"token_embd": (config["vocab_size"], BLOCK), "output_norm": row, "blk.0.attn_norm": row, "blk.0.ffn_norm": row}
    for name, shape in (shapes | {f"blk.0.{part}": square for part in layer}).items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, np.float16 if len(shape) == 2 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write(path: Path, model: Path, config: dict[str, Any], architecture: str, tokenizer: PreTrainedTokenizerBase, form: str) -> None:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, architecture)
    kind = {F16: "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0", "q4_0": "MOSTLY_Q4_0"}[form]
    writer.add_file_type(gguf.LlamaFileType[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_shape(writer, config, model)
    _add_tokenizer(writer, tokenizer, config, model)
    tensors = _tensors(model, config, architecture)
    factors = _rope_factors(config) if _scaling(config)["rope_type"] == LLAMA3 else None
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    for tensor in tensors:
        stored = _stored(tensor, form)
        plain = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}.get(stored)
        shape = tensor.shape if plain else gguf.quant_shape_to_byte_shape(tensor.shape, stored)
        dtype = np.dtype(plain or np.uint8)
        writer.add_tensor_info(tensor.name, shape, dtype, math.prod(shape) * dtype.itemsize, None if plain else stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors)
    for tensor in tensors:  # one at a time: a model may not fit into memory
        writer.write_tensor_data(gguf.quants.quantize(_values(tensor, config, architecture), _stored(tensor, form)))
    writer.close()


@dataclass(frozen=True)
class _Tensor:
    """``name`` in GGUF, ``source`` in the file of the model."""

    name: str
    source: str
    file: Path
    shape: tuple[int, ...]


def _stored(tensor: _Tensor, form: str) -> gguf.GGMLQuantizationType:
    """Norms and biases are few and stay exact; the embeddings and the head, which suffer most, are never below 8 bits."""
    from gguf import GGMLQuantizationType as Type

    if len(tensor.shape) == 1:
        return Type.F32
    if form == F16 or tensor.shape[-1] % BLOCK:
        return Type.F16
    return Type.Q4_0 if form == "q4_0" and not tensor.name.startswith(("token_embd", "output")) else Type.Q8_0


def check(model: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """``InputError`` for what can't be converted, told by the files alone: worth knowing before it is fine-tuned."""
    config = json.loads((model / "config.json").read_text())
    if (config.get("architectures") or [""])[0] not in ARCHITECTURES:
        raise _refuse(model, "config.json", f"architecture {config.get('architectures')} can't be converted.", ", ".join(ARCHITECTURES))
    kind = _scaling(config)["rope_type"]
    if kind != "default" and (kind != LLAMA3 or config["architectures"][0] != "LlamaForCausalLM"):
        raise _refuse(model, "config.json", f"rope scaling {kind!r} can't be converted.", "models without rope scaling, and Llama 3's")
    if config.get("use_sliding_window"):
        raise _refuse(model, "config.json", "a sliding window can't be converted.", "models without one (use_sliding_window: false)")
    normaliser = type(tokenizer.backend_tokenizer.normalizer).__name__
    if normaliser not in ("NoneType", "NFC"):  # NFC is left out of training as well
        what = f"its normaliser ({normaliser}) changes texts before they are cut, which llama.cpp does not."
        raise _refuse(model, "tokenizer.json", what, "tokenizers without a normaliser, or with NFC")
    if config.get("mlp_bias"):
        raise _refuse(
            model, "config.json", "biases of the feed-forward layers can't be converted.", "models without them (mlp_bias: false)"
        )
    _pre(json.loads(tokenizer.backend_tokenizer.to_str()), model)


def _scaling(config: dict[str, Any]) -> dict[str, Any]:
    """How the positions are stretched, in transformers 5's words; older files say it elsewhere."""
    found = config.get("rope_scaling") or config.get("rope_parameters") or {}
    return {"rope_type": found.get("type", "default"), **found}


def _theta(config: dict[str, Any]) -> float:
    return float(config.get("rope_theta") or (config.get("rope_parameters") or {}).get("rope_theta") or 10_000.0)


def _head_size(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _rope_factors(config: dict[str, Any]) -> Array:
    """By what llama.cpp divides each frequency: Llama 3.1's scheme, as in transformers' ``_compute_llama3_parameters``."""
    import numpy as np

    scaling, size = _scaling(config), _head_size(config)
    length = 2 * np.pi * _theta(config) ** (np.arange(0, size, 2) / size)
    low, high, old = scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["original_max_position_embeddings"]
    smooth = np.clip((old / length - low) / (high - low), 0.0, 1.0)
    factors: Array = (1 / ((1 - smooth) / scaling["factor"] + smooth)).astype(np.float32)
    return factors


def _add_shape(writer: gguf.GGUFWriter, config: dict[str, Any], model: Path) -> None:
    heads, size = config["num_attention_heads"], _head_size(config)
    writer.add_name(model.parent.name)
    writer.add_context_length(config["max_position_embeddings"])  # a longer conversation is refused, whatever the server is told
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(_theta(config))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase, config: dict[str, Any], model: Path) -> None:
    import gguf

    described = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = _pre(described, model)
    added = {token["id"]: token for token in described["added_tokens"]}
    known = {number: token for token, number in tokenizer.get_vocab().items()}
    tokens, types = [], []
    for number in range(config["vocab_size"]):
        tokens.append(known.get(number, f"[unused{number}]"))
        if number not in known:
            types.append(gguf.TokenType.UNUSED)
        elif number in added:
            types.append(gguf.TokenType.CONTROL if added[number]["special"] else gguf.TokenType.USER_DEFINED)
        else:
            types.append(gguf.TokenType.NORMAL)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in described["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(kind)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    writer.add_add_bos_token(False)  # a chat template writes it where it belongs
    writer.add_chat_template(tokenizer.chat_template)


def _pre(described: dict[str, Any], model: Path) -> str:
    """llama.cpp's name for the way in which the tokenizer cuts texts into words."""
    if described["model"]["type"] != "BPE" or described["model"].get("byte_fallback"):
        raise _refuse(model, "tokenizer.json", f"a {described['model']['type']} tokenizer can't be converted.", "byte-level BPE")
    pre = described["pre_tokenizer"] or {}
    parts = pre.get("pretokenizers", [pre])
    words = []
    for part in parts:
        if part.get("type") == "Split":
            words.append(part["pattern"].get("Regex", ""))
        elif part.get("type") == "Digits" and part["individual_digits"]:
            words.append("digits")
        elif part.get("type") == "ByteLevel" and part.get("use_regex", True):
            words.append("gpt-2")
    if (kind := _PRE.get(", ".join(words))) is None or not any(part.get("type") == "ByteLevel" for part in parts):
        raise _refuse(model, "tokenizer.json", f"llama.cpp knows no such pre-tokenizer: {', '.join(words)[:200]!r}.", "Qwen2's, Llama 3's")
    return kind


def _tensors(model: Path, config: dict[str, Any], architecture: str) -> list[_Tensor]:
    import gguf
    from safetensors import safe_open

    arch = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2}[architecture]
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    found = []
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for source in tensors.keys():  # noqa: SIM118 (no mapping)
                if source == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue
                name = names.get_name(source, (".weight", ".bias"))
                if name is None:
                    raise _refuse(model, file.name, f"tensor {source!r} has no place in a {architecture}.", ", ".join(ARCHITECTURES))
                found.append(_Tensor(name, source, file, tuple(tensors.get_slice(source).get_shape())))
    return found


def _values(tensor: _Tensor, config: dict[str, Any], architecture: str) -> Array:
    from safetensors import safe_open

    name = tensor.source
    with safe_open(tensor.file, framework="pt") as tensors:
        values: Array = tensors.get_tensor(name).float().numpy()
    if architecture == "llama" and name.endswith(("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")):
        heads = config["num_attention_heads"]
        if ".k_proj" in name:
            heads = config.get("num_key_value_heads") or heads
        # llama.cpp turns neighbouring pairs of a Llama's head, transformers its two halves.
        halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
        values = halves.swapaxes(1, 2).reshape(values.shape)
    return values


def _refuse(model: Path, file: str, what: str, supported: str) -> InputError:
    return InputError(what, where=str(model / file), remedy=f"llama.cpp is given {supported}; fine-tune another base.")
