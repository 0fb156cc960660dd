"""Step `llm.optimize`: the model as its server takes it, in 16 bits and quantised. Runtime `llm`, or that which the backend needs for it.

Inputs: ``table``, ``model`` (folder); with ``serve.adapters`` also ``adapter`` (folder), which is then the only form. Writes the forms and
``candidates.json``. What the server makes of the held-out prompts, by template and by tokenizer, must be what the model was trained on,
token for token: it is looked at here, or in the step `verify` where the server takes long to start.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import Any

from include.backends.chat import Wanted, chat_backend
from include.backends.registry import backend
from include.bundles.chat import ADAPTER
from include.spec.llm import LlmSpec
from include.steps.context import StepContext


@dataclass(frozen=True)
class Candidate:
    """A form of the model; ``file`` (or folder) in the step's folder."""

    name: str
    file: str


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``folder``, and what the backend tells of the forms. InputError when the model can't be converted as it is."""
    spec = ctx.spec(LlmSpec)
    if "adapter" in ctx.request.inputs:
        shutil.copytree(ctx.input("adapter"), ctx.out / ADAPTER, dirs_exist_ok=True)
        (ctx.out / "candidates.json").write_text(json.dumps([asdict(Candidate(ADAPTER, ADAPTER))]))
        return {"folder": str(ctx.out)}
    seed = int(ctx.params.get("seed", spec.param_defaults("train")["seed"]))
    methods = tuple(str(method) for method in spec.quantizations)
    chats = {"calibration_chats": spec.optimize.calibration_chats, "max_tokens": spec.data.max_tokens}
    wanted = Wanted(ctx.input("model"), ctx.input("table"), ctx.out, methods, seed=seed, **chats)
    made = chat_backend(backend(spec.serve.backend)).make_forms(wanted, spec.serve)
    (ctx.out / "candidates.json").write_text(json.dumps([asdict(Candidate(form, file.name)) for form, file in made.files.items()]))
    return {"folder": str(ctx.out), **made.facts}
