"""Step `llm.optimize`: the model as its server takes it, in 16 bits and quantised. Runtime `llm`; `quantise` for vLLM's quantised forms.

Inputs: ``table``, ``model`` (folder); with ``serve.adapters`` also ``adapter`` (folder), which is then the only form. Writes
``candidates.json`` and, for llama.cpp, a GGUF file a form, for vLLM a Hugging Face folder a form (:mod:`include.backends.vllm.compress`).
What the server makes of the held-out prompts, by template and by tokenizer, must be what the model was trained on, token for token: for
vLLM, whose server takes long to start, the step `verify` looks.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include.backends.llamacpp import gguf
from include.backends.llamacpp.client import LlamaCpp, served
from include.backends.vllm import compress
from include.backends.vllm.client import Vllm
from include.bundles.chat import ADAPTER
from include.data import chats
from include.errors import InputError
from include.kinds.llm.server import Messages
from include.spec.llm import LlmSpec
from include.spec.load import load_as
from include.steps.context import StepContext

CHECKED = 256
"""Held-out prompts whose tokens are compared, at most."""
PROBES = (
    "It's 12345.678 + 9 = ?\n\n\n  indented\tand  spaced  \r\nEND",
    "naïve café — «Größe» ŁÓDŹ Ελλάδα Привет 日本語 한국어 مرحبا हिन्दी 🙂👩‍💻",
    "def f(x):\n    return {\"a\": [1, 2.5e-3, None], 'b': x**2}  # don't",
)
"""Texts that tokenizers tend to differ on."""


@dataclass(frozen=True)
class Candidate:
    """A form of the model; ``file`` (or folder) in the step's folder."""

    name: str
    file: str


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``folder``. InputError when the model can't be converted as it is."""
    spec = load_as(Path(ctx.request.spec), LlmSpec)
    if spec.serve.adapters:
        shutil.copytree(ctx.input("adapter"), ctx.out / ADAPTER, dirs_exist_ok=True)
        (ctx.out / "candidates.json").write_text(json.dumps([asdict(Candidate(ADAPTER, ADAPTER))]))
        return {"folder": str(ctx.out)}
    if spec.serve.backend == "vllm":
        return compress.run(ctx, spec)
    forms = (gguf.F16, *(method.value for method in spec.quantizations))
    files = gguf.write(ctx.input("model"), forms, ctx.out)
    for form, file in files.items():
        print(f"{form}: {file.stat().st_size:,} bytes", flush=True)
    rows = chats.table(ctx.input("table"), "eval")
    with served(files[gguf.F16], spec.serve.context, 1, spec.serve.threads) as server:
        check(ctx.input("model"), server, [row.prompt for row in rows[:CHECKED]])
    (ctx.out / "candidates.json").write_text(json.dumps([asdict(Candidate(form, file.name)) for form, file in files.items()]))
    return {"folder": str(ctx.out)}


def check_tokens(model: Path, server: Vllm, prompts: Sequence[Messages]) -> None:
    """InputError unless vLLM makes the same tokens of each prompt as the model's own tokenizer does."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    for prompt in [*prompts, *([{"role": "user", "content": text}] for text in PROBES)]:
        text = str(tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True))
        ids, found = list(tokenizer(text, add_special_tokens=False)["input_ids"]), server.prompt_tokens(prompt)
        if found != ids:
            at = next((at for at, (one, other) in enumerate(zip(ids, found, strict=False)) if one != other), min(len(ids), len(found)))
            ours, theirs = (tokenizer.convert_ids_to_tokens(part[at : at + 6]) for part in (ids, found))
            raise InputError(
                f"vLLM cuts a prompt into tokens otherwise than the model was trained on: {theirs!r} instead of {ours!r}.",
                where=f"optimize: {model / 'tokenizer.json'}",
                remedy="Fine-tune a base with a plainer chat template or one of the usual tokenizers (Qwen2's, Llama 3's).",
            )


def check(model: Path, server: LlamaCpp, prompts: Sequence[Messages]) -> None:
    """InputError unless llama.cpp makes the same text of each prompt, and the same tokens of it, as the model's own tokenizer does."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)

    def refuse(what: str, ours: object, theirs: object) -> InputError:
        return InputError(
            f"llama.cpp {what} otherwise than the model was trained on: {theirs!r} instead of {ours!r}.",
            where=f"optimize: {model / 'tokenizer.json'}",
            remedy="Fine-tune a base with a plainer chat template or one of the usual tokenizers (Qwen2's, Llama 3's).",
        )

    probes = [[{"role": "user", "content": text}] for text in PROBES]
    for prompt in [*prompts, *probes]:
        ours = str(tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True))
        theirs = server.prompt(prompt)
        if theirs != ours:
            raise refuse("writes a prompt", *_difference(ours, theirs))
        ids, found = list(tokenizer(ours, add_special_tokens=False)["input_ids"]), server.tokens(ours)
        if found != ids:
            at = next((at for at, (one, other) in enumerate(zip(ids, found, strict=False)) if one != other), min(len(ids), len(found)))
            raise refuse("cuts a prompt into tokens", *(tokenizer.convert_ids_to_tokens(part[at : at + 6]) for part in (ids, found)))


def _difference(ours: str, theirs: str) -> tuple[str, str]:
    """Both from a little before where they part."""
    at = next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), min(len(ours), len(theirs)))
    start = max(0, at - 20)
    return ours[start : at + 40], theirs[start : at + 40]
