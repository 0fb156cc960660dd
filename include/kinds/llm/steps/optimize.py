"""Step `llm.optimize`: the model as its server takes it, in 16 bits and quantised. Runtime `llm`; `quantise` for vLLM's quantised forms.

Inputs: ``table``, ``model`` (folder); with ``serve.adapters`` also ``adapter`` (folder), which is then the only form. Writes
``candidates.json`` and, for llama.cpp, a GGUF file a form, for vLLM a Hugging Face folder a form (:mod:`include.backends.vllm.compress`).
What the server makes of the held-out prompts, by template and by tokenizer, must be what the model was trained on, token for token: for
vLLM, whose server takes long to start, the step `verify` looks.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include.backends.llamacpp import gguf
from include.backends.llamacpp.client import served
from include.backends.vllm import compress
from include.bundles.chat import ADAPTER
from include.data import chats
from include.kinds.llm import served_text
from include.spec.llm import LlmSpec
from include.spec.load import load_as
from include.steps.context import StepContext

CHECKED = 256
"""Held-out prompts whose tokens are compared, at most."""


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
        served_text.check_llamacpp(ctx.input("model"), server, [row.prompt for row in rows[:CHECKED]])
    (ctx.out / "candidates.json").write_text(json.dumps([asdict(Candidate(form, file.name)) for form, file in files.items()]))
    return {"folder": str(ctx.out)}
