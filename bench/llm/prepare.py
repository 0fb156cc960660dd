"""The shipped tinychat, trained, and its forms: in the `llm` runtime ``prepare.py FOLDER trained`` (the model, and llama.cpp's forms), in
the `quantise` runtime ``prepare.py FOLDER quantised`` (vLLM's).

Writes ``FOLDER/<backend>-<form>/`` (bundles) and ``FOLDER/asked.json``: what is asked of every form, the held-out chats.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from include.data import chats
from include.kinds.load import load_as
from include.kinds.requests import request_of
from include.runtime.settings import REPO
from include.spec.llm import LlmSpec
from include.steps.context import StepContext

SPEC = REPO / "include" / "models" / "tinychat" / "model.yaml"
FORMS = {"llamacpp": ("f16", "q8_0", "q4_0"), "vllm": ("bf16", "awq", "gptq", "w8a8")}
"""By backend, the one in 16 bits first."""


def trained(folder: Path) -> None:
    import mlflow

    from include.bundles import gguf
    from include.kinds.llm import answers
    from include.kinds.llm.steps import base, extract, train

    os.environ["UPDRAFT_CHECKPOINTS"] = str(folder / "checkpoints")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    mlflow.create_experiment("bench", artifact_location=str(folder / "artifacts"))
    with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("bench").experiment_id) as run:
        run_id = run.info.run_id
    spec = load_as(SPEC, LlmSpec)
    made = base.run(context(folder, "base"))
    table = extract.run(context(folder, "extract", base=made["model"]))["table"]
    place = Path(train.run(context(folder, "train", table=table, base=made["model"], mlflow_run_id=run_id))["model"])
    rows = chats.table(Path(table), "eval")
    model = answers.Model.load(place)
    pairs = list(zip(model.ids([model.text(row.prompt) for row in rows]), model.ids([model.end(row) for row in rows]), strict=True))
    loss, tokens = sum(cost for cost, _ in model.costs(pairs)), sum(len(answer) for _, answer in pairs)
    asked = {
        "model": str(place),
        "table": table,
        "context": spec.serve.context,
        "vocabulary": model.network.config.vocab_size,
        "perplexity": math.exp(loss / tokens),
        "max_tokens": min(answers.limits(model, rows, spec)),
        "prompts": [row.prompt for row in rows],
        "answers": [row.answer for row in rows],
        "ids": pairs,
    }
    (folder / "asked.json").write_text(json.dumps(asked))
    for form, file in gguf.write(place, FORMS["llamacpp"], folder).items():
        file.rename(bundle(folder, "llamacpp", form, asked) / "model.gguf")


def quantised(folder: Path) -> None:
    from include.backends.chat import Wanted
    from include.backends.vllm import compress

    asked = json.loads((folder / "asked.json").read_text())
    spec, out = load_as(SPEC, LlmSpec), folder / "compress"
    out.mkdir(parents=True, exist_ok=True)
    chats = {"calibration_chats": spec.optimize.calibration_chats, "max_tokens": spec.data.max_tokens}
    wanted = Wanted(Path(asked["model"]), Path(asked["table"]), out, FORMS["vllm"][1:], seed=0, **chats)
    for name, made in compress.make(wanted).files.items():
        made.rename(bundle(folder, "vllm", name, asked) / "model")


def bundle(folder: Path, backend: str, form: str, asked: dict[str, Any]) -> Path:
    """A bundle without its model."""
    made = folder / f"{backend}-{form}"
    made.mkdir()
    (made / "chat.json").write_text(json.dumps({"context": asked["context"], "forms": form}))
    golden = {"messages": asked["prompts"][0], "max_tokens": asked["max_tokens"], "answer": asked["answers"][0]}
    (made / "golden.json").write_text(json.dumps({"prompts": [golden]}))
    return made


def context(folder: Path, step: str, **inputs: str) -> StepContext:
    out = folder / step
    out.mkdir()
    return StepContext(request_of(SPEC, step, "bench", **inputs), out)


if __name__ == "__main__":
    os.environ["UPDRAFT_HOME"] = sys.argv[1]
    {"trained": trained, "quantised": quantised}[sys.argv[2]](Path(sys.argv[1]))
