"""What a server makes of prompts beside what the model is trained on: the same text, the same tokens, or a sentence that says where not."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.backends.llamacpp import client as llamacpp
from include.backends.llamacpp import gguf
from include.backends.llamacpp.client import LlamaCpp
from include.backends.vllm import client as vllm
from include.backends.vllm.client import Vllm
from include.errors import ComponentError, InputError
from include.kinds.llm import template
from include.kinds.llm import tokenizer as tokenizers
from include.kinds.llm.server import Messages, Refused
from include.spec.llm import LlmServe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTEXT = 8192
"""Tokens of a probe, at most."""
_REMEDY = "Fine-tune a base with a plainer chat template or one of the usual tokenizers (Qwen2's, Llama 3's)."


def check_base(folder: Path, tokenizer: PreTrainedTokenizerBase, serve: LlmServe, *, system: bool) -> str:
    """Raises InputError unless the server will write and cut awkward prompts as training does; returns what was compared, in a sentence.

    llama.cpp is started with the tokenizer and an empty network; of vLLM its renderer alone is asked, in its own runtime.
    """
    prompts = template.probes(tokenizer, system=system)
    if serve.backend == "vllm":
        # A model that was trained keeps its own template; adapters are served on the base, by the base's.
        found = vllm.prompts_as_tokens(folder, None if serve.adapters else str(tokenizer.chat_template), prompts)
        if found is None:
            return "Runtime vllm is not installed here: what it makes of prompts is compared once the model is trained."
        for prompt, ids in zip(prompts, found, strict=True):
            _same("vLLM", f"base: {folder}", tokenizer, prompt, ids)
    else:
        _check_in_llamacpp(folder, tokenizer, prompts)
    return f"{len(prompts)} awkward prompts are the same tokens in training and in {'vLLM' if serve.backend == 'vllm' else 'llama.cpp'}."


def _check_in_llamacpp(folder: Path, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages]) -> None:
    where = f"base: {folder}"
    with tempfile.TemporaryDirectory(prefix="vocabulary-") as home:
        file = Path(home) / "vocabulary.gguf"
        gguf.write_vocabulary(folder, tokenizer, file)
        try:
            with llamacpp.served(file, CONTEXT, 1, 1) as server:
                _check_llamacpp(tokenizer, server, prompts, where)
        except Refused as error:
            raise InputError(
                f"llama.cpp refuses a prompt that the model could be trained on: {error.what}", where=where, remedy=_REMEDY
            ) from None
        except ComponentError:
            if not _starts_with_another(folder, tokenizer, Path(home) / "plain.gguf"):
                raise
            what = "llama.cpp does not start with the base's chat template: it uses what llama.cpp's Jinja does not know."
            remedy = "Write the template with plain loops, conditions and texts, or serve the model by vLLM (serve.backend)."
            raise InputError(what, where=f"{where}/chat_template", remedy=remedy) from None


def _starts_with_another(folder: Path, tokenizer: PreTrainedTokenizerBase, file: Path) -> bool:
    """Whether llama.cpp starts as soon as the template is a plain one: then it was the template, and not the machine."""
    own = tokenizer.chat_template
    try:
        tokenizer.chat_template = "{{ messages[0]['content'] }}"
        gguf.write_vocabulary(folder, tokenizer, file)
        with llamacpp.served(file, CONTEXT, 1, 1):
            return True
    except ComponentError:
        return False
    finally:
        tokenizer.chat_template = own


def check_vllm(model: Path, server: Vllm, prompts: Sequence[Messages]) -> None:
    """InputError unless vLLM makes the same tokens of each prompt as the model's own tokenizer does."""
    tokenizer = tokenizers.load(model, "vllm")
    for prompt in [*prompts, *template.probes(tokenizer, system=False)]:
        _same("vLLM", f"optimize: {model / 'tokenizer.json'}", tokenizer, prompt, server.prompt_tokens(prompt))


def check_llamacpp(model: Path, server: LlamaCpp, prompts: Sequence[Messages]) -> None:
    """InputError unless llama.cpp makes the same text of each prompt, and the same tokens of it, as the model's own tokenizer does."""
    tokenizer = tokenizers.load(model, "llamacpp")
    texts = [[{"role": "user", "content": text}] for text in template.TEXTS]
    _check_llamacpp(tokenizer, server, [*prompts, *texts], f"optimize: {model / 'tokenizer.json'}")


def _check_llamacpp(tokenizer: PreTrainedTokenizerBase, server: LlamaCpp, prompts: Sequence[Messages], where: str) -> None:
    for prompt in prompts:
        ours, theirs = template.render(tokenizer, prompt, asked=True), server.prompt(prompt)
        if theirs != ours:
            one, other = _difference(ours, theirs)
            what = f"llama.cpp writes a prompt otherwise than the model was trained on: {other!r} instead of {one!r}."
            raise InputError(what, where=where, remedy=_REMEDY)
        _same("llama.cpp", where, tokenizer, prompt, server.tokens(ours))


def _same(server: str, where: str, tokenizer: PreTrainedTokenizerBase, prompt: Messages, found: Sequence[int]) -> None:
    ids = list(tokenizer(template.render(tokenizer, prompt, asked=True), add_special_tokens=False)["input_ids"])
    if list(found) == ids:
        return
    at = next((at for at, (one, other) in enumerate(zip(ids, found, strict=False)) if one != other), min(len(ids), len(found)))
    ours, theirs = (tokenizer.convert_ids_to_tokens(list(part[at : at + 6])) for part in (ids, found))
    raise InputError(
        f"{server} cuts a prompt into tokens otherwise than the model was trained on: {theirs!r} instead of {ours!r}, "
        f"in {prompt[-1]['content']!r:.60}.",
        where=where,
        remedy=_REMEDY,
    )


def _difference(ours: str, theirs: str) -> tuple[str, str]:
    """Both from a little before where they part."""
    at = next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), min(len(ours), len(theirs)))
    start = max(0, at - 20)
    return ours[start : at + 40], theirs[start : at + 40]
