"""The shipped tinychat, trained and in its GGUF forms, each with its score; runs in the `llm` runtime: ``prepare.py FOLDER``.

Writes ``FOLDER/<form>/`` (bundles) and ``FOLDER/forms.json``: form → ``size_bytes``, ``exact_match`` (held-out chats, through
llama.cpp), and for the trained model ``perplexity``.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from include.data import chats
from include.platform.settings import REPO
from include.spec.llm import LlmSpec
from include.spec.load import load_as
from include.steps.context import Request, StepContext
from include.steps.llm import answers, base, extract, gguf, train
from include.steps.llm.llamacpp import served

SPEC = REPO / "include" / "models" / "tinychat" / "model.yaml"
FORMS = (gguf.F16, "q8_0", "q4_0")
PARALLEL = 16


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"UPDRAFT_HOME": str(folder), "UPDRAFT_CHECKPOINTS": str(folder / "checkpoints")}
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    import mlflow

    mlflow.create_experiment("bench", artifact_location=str(folder / "artifacts"))
    with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("bench").experiment_id) as run:
        run_id = run.info.run_id
    spec = load_as(SPEC, LlmSpec)
    made = base.run(context(folder, "base"))
    table = extract.run(context(folder, "extract", base=made["model"]))["table"]
    trained = Path(train.run(context(folder, "train", table=table, base=made["model"], mlflow_run_id=run_id))["model"])
    rows = chats.table(Path(table), "eval")
    model = answers.Model.load(trained)
    losses, tokens = model.losses(rows)
    limit = answers.limit(model, rows, spec)
    files = gguf.write(trained, FORMS, folder)
    found: dict[str, dict[str, Any]] = {"trained": {"perplexity": math.exp(losses.sum() / tokens.sum())}}
    for form, file in files.items():
        with served(file, spec.serve.context, 4) as server:
            said = answers.of_server(server, rows, limit)
        right = answers.outcome(said, rows, tokens).matches
        found[form] = {"size_bytes": file.stat().st_size, "exact_match": float(right.mean())}
        bundle = folder / form
        bundle.mkdir()
        file.rename(bundle / "model.gguf")
        (bundle / "chat.json").write_text(json.dumps({"context": spec.serve.context, "forms": form}))
        prompt = {"messages": rows[0].prompt, "max_tokens": limit, "answer": said[0].text}
        (bundle / "golden.json").write_text(json.dumps({"prompts": [prompt]}))
    (folder / "questions.json").write_text(json.dumps([row.prompt for row in rows]))
    (folder / "forms.json").write_text(json.dumps(found))


def context(folder: Path, step: str, **inputs: str) -> StepContext:
    out = folder / step
    out.mkdir()
    return StepContext(Request(f"llm.{step}", "bench", str(SPEC), {}, inputs), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
