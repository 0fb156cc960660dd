"""The files of a base: whole, of one model, in 16 bits or more, and of a kind that can be trained and served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.estimate.checkpoint import folder_tensors, read_json
from include.estimate.tensors import Tensor

ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM")
"""What can be converted for llama.cpp (``include/bundles/gguf.py``)."""
MAX_JSON_BYTES = 64 * 1024 * 1024
HEAD, NORM, LAYER = "lm_head.weight", "model.norm.weight", "model.layers.{}."
TRAINABLE = ("F64", "F32", "F16", "BF16", "FLOAT64", "FLOAT32", "FLOAT16", "BFLOAT16")
_UNQUANTISED = (
    "Name the model that it was made from, in 16 bits: that is fine-tuned, and quantised afterwards (optimize.methods), its score beside "
    "the original's."
)
Refuse = Callable[[str, str, str], InputError]
"""File, what is wrong with it, what to do."""


def check(folder: Path) -> list[Tensor]:
    """The base's tensors. InputError, naming the file and the remedy, for what is missing or can't be trained and served."""

    def refuse(file: str, what: str, remedy: str) -> InputError:
        return InputError(what, where=f"base: {folder / file}", remedy=remedy)

    if not (folder / "config.json").is_file():
        raise refuse("config.json", "is missing.", "A base is a folder as transformers' save_pretrained() writes it.")
    config = read_json(folder / "config.json", MAX_JSON_BYTES)
    architectures = config.get("architectures")
    architecture = architectures[0] if isinstance(architectures, list) and architectures else architectures
    if architecture not in ARCHITECTURES:
        raise refuse("config.json", f"architecture {architecture} is not supported.", f"Supported: {', '.join(ARCHITECTURES)}.")
    if "auto_map" in config:
        raise refuse("config.json", "brings code of its own (auto_map).", "Code from a model is never run; use a built-in architecture.")
    _not_quantised(folder, config, refuse)
    tensors = folder_tensors(folder)
    if not tensors:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        remedy = "Save it as safetensors: pickles are never opened." if pickled else "Download the model again, whole."
        raise refuse("*.safetensors", "there are no weights.", remedy)
    _in_16_bits(tensors, refuse)
    _tied(config, tensors, refuse)
    _layers(config, tensors, refuse)
    _shapes(config, tensors, refuse)
    _tokenizer(folder, config, refuse)
    if not _chat_template(folder):
        raise refuse("tokenizer_config.json", "has no chat_template.", "Use a model made for chats, or add its template.")
    return tensors


def _not_quantised(folder: Path, config: Mapping[str, Any], refuse: Refuse) -> None:
    """What was quantised can't be trained on: its weights are rounded, and most methods need libraries of their own to be read at all."""
    given = config.get("quantization_config") or config.get("compression_config")
    file = next((name for name in ("quantize_config.json", "quant_config.json") if (folder / name).is_file()), None)
    if given is None and file is None:
        return
    kept = given if isinstance(given, Mapping) else {}
    method = kept.get("quant_method") or ("bitsandbytes" if kept.keys() & {"load_in_4bit", "load_in_8bit"} else file and "GPTQ or AWQ")
    bits = kept.get("bits") or kept.get("w_bit")
    how = f"{method or 'unknown method'}{f', {bits} bits' if bits else ''}"
    raise refuse(file or "config.json", f"the base is quantised already ({how}).", _UNQUANTISED)


def _in_16_bits(tensors: list[Tensor], refuse: Refuse) -> None:
    odd = [tensor for tensor in tensors if tensor.dtype.upper() not in TRAINABLE]
    if odd:
        what = f"{len(odd)} tensors are {odd[0].dtype}, such as {odd[0].name}: the base is quantised already."
        raise refuse("*.safetensors", what, _UNQUANTISED)


def _shapes(config: Mapping[str, Any], tensors: list[Tensor], refuse: Refuse) -> None:
    """Every tensor has the shape that the config gives it."""
    try:
        hidden, heads, inner = (int(config[name]) for name in ("hidden_size", "num_attention_heads", "intermediate_size"))
        size = int(config.get("head_dim") or hidden // heads)
        shared = int(config.get("num_key_value_heads") or heads)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise refuse(
            "config.json", f"does not tell the model's shape ({error}).", "Save config and weights of one model together."
        ) from None
    query, key, vocabulary = heads * size, shared * size, int(config.get("vocab_size") or 0)
    matrices = {"q_proj": (query, hidden), "k_proj": (key, hidden), "v_proj": (key, hidden), "o_proj": (hidden, query)}
    matrices |= {"gate_proj": (inner, hidden), "up_proj": (inner, hidden), "down_proj": (hidden, inner)}
    matrices |= {"embed_tokens": (vocabulary, hidden), "lm_head": (vocabulary, hidden)}
    for tensor in tensors:
        *_, name, part = ("", *tensor.name.split("."))
        wanted = (hidden,) if name in ("norm", "input_layernorm", "post_attention_layernorm") else matrices.get(name)
        if wanted and part == "bias":
            wanted = wanted[:1]
        if wanted and tuple(tensor.shape) != wanted:
            what = f"{tensor.name} is {tuple(tensor.shape)}, and config.json makes it {wanted}."
            raise refuse("*.safetensors", what, "Save config and weights of one model together.")


def _tied(config: dict[str, Any], tensors: list[Tensor], refuse: Refuse) -> None:
    """A head that is missing would be filled with noise, in silence; one that the config calls tied would be left out."""
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    tied = bool(config.get("tie_word_embeddings", False))
    if not tied and HEAD not in shapes:
        raise refuse("config.json", f"tie_word_embeddings is false, but there is no {HEAD}.", "Set it to true, or restore the head.")
    if tied and HEAD in shapes:
        raise refuse("config.json", f"tie_word_embeddings is true, but there is a {HEAD}.", "Set it to false, or save the model without.")
    embedded = shapes.get("model.embed_tokens.weight")
    if embedded is None or embedded[0] != config.get("vocab_size"):
        what = f"vocab_size is {config.get('vocab_size')}, but the embedding is {embedded or 'missing'}."
        raise refuse("config.json", what, "Save config and weights of one model together.")


def _layers(config: dict[str, Any], tensors: list[Tensor], refuse: Refuse) -> None:
    """Every layer has what the first has; transformers would make up the rest."""
    names = {tensor.name for tensor in tensors}
    layers = config.get("num_hidden_layers")
    if type(layers) is not int or not 1 <= layers <= len(names):
        raise refuse("config.json", f"num_hidden_layers is {layers!r}.", "Save config and weights of one model together.")
    parts = [name.removeprefix(LAYER.format(0)) for name in names if name.startswith(LAYER.format(0))]
    wanted = {LAYER.format(layer) + part for layer in range(layers) for part in parts or ["*"]} | {NORM}
    if absent := sorted(wanted - names):
        what = f"{len(absent)} of {len(wanted)} tensors are missing: {', '.join(absent[:3])}."
        raise refuse("*.safetensors", what, "Download the model again, whole.")


def _tokenizer(folder: Path, config: dict[str, Any], refuse: Refuse) -> None:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise refuse(path.name, "is missing.", "Save the tokenizer beside the model: tokenizer.save_pretrained(folder).")
    try:
        last = max(Tokenizer.from_file(str(path)).get_vocab().values(), default=-1)
    except Exception as error:  # the library raises nothing narrower
        raise refuse(path.name, f"is no tokenizer: {str(error)[:120]}.", "Save it again: tokenizer.save_pretrained(folder).") from None
    if last >= config["vocab_size"]:
        what = f"has token {last}, but the model knows only {config['vocab_size']}."
        raise refuse(path.name, what, "Save tokenizer and weights of one model together.")


def _chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(read_json(path, MAX_JSON_BYTES).get("chat_template"))
