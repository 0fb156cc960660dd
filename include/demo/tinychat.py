"""The story of `make demo-llm`: a chat model that has hardly learned, one that has, and two bad ones that only production finds out."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from include import atomic
from include.demo.rate import measured, offered
from include.demo.story import Chapter, Script, Story
from include.errors import ComponentError, InputError
from include.kinds.load import load
from include.registry.mlflow import CHAMPION
from include.runtime import web
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.revisions import Revisions
from include.serving.traffic import ChatTraffic
from include.spec import document
from include.spec.choice import named, serves
from include.spec.serve import LLM
from include.steps.user_code import importable, load_entry

MODEL = "tinychat"
RATE_PER_S = 25
"""At most; what the machine can answer is measured."""
MOST_TOKENS, ANSWER_S = 64, 60.0
EVERY = 10
"""The client asks every tenth of the chats: sums, capitals and dates."""
IDLE_LAYERS = 16


def chats(settings: Settings) -> list[dict[str, Any]]:
    """What the model was made for: the chats of its own data."""
    folder = settings.repo / "include" / "models" / MODEL
    with importable(folder):
        return list(load_entry(folder, "data:load")())


def client(settings: Settings, credentials: Credentials) -> ChatTraffic:
    """Asks what the model was made for, streaming, and compares the answers; so often as the champion's first answers show that it can
    answer."""
    some = chats(settings)[::EVERY]
    random.Random(0).shuffle(some)
    asked = [chat["messages"][:-1] for chat in some]
    references = [chat["messages"][-1]["content"] for chat in some]
    key = credentials.api_keys["demo"]
    url = f"{settings.gateway_url}/v1/chat/completions"

    def ask(number: int) -> bool:
        body = {"model": MODEL, "max_tokens": MOST_TOKENS, "temperature": 0, "messages": asked[number % len(asked)]}
        try:
            return web.ask("POST", url, headers={"x-api-key": key}, json=body, timeout=ANSWER_S).status_code == 200
        except OSError:
            return False

    rate = offered(measured(ask), RATE_PER_S)
    return ChatTraffic(settings.gateway_url, key, MODEL, asked, rate, references=references, stream=True, max_tokens=MOST_TOKENS)


def models_served_by(backend: str, folder: Path, models: Path) -> None:
    """The model folders ``models`` again in ``folder``, the chat model's spec with another ``serve.backend``, and what goes with it.

    Raises SpecError for a backend that there is not.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(models, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / MODEL / "model.yaml"
    spec: dict[str, Any] = document.read(path).value
    spec["serve"]["backend"] = backend
    if any(named(serve) == backend and serve.few_bits_for_gpus for serve in serves(LLM)):  # elsewhere they save memory, and time is lost
        spec.setdefault("optimize", {})["min_speedup"] = 0.3
    path.write_text(json.dumps(spec, indent=1))  # which is YAML
    load(path)


def check_one_backend(settings: Settings, models: Path) -> None:
    """InputError when the champion is served by another backend than the spec's: no version could come through a trial against it."""
    asked = load(models / MODEL / "model.yaml").serve.backend
    others = {revision.backend for revision in Revisions(settings).list(MODEL)} - {asked}
    if others:
        raise InputError(
            f"{MODEL} is served by {', '.join(sorted(others))} already: a trial of {asked} would compare the two servers' speed.",
            where="BACKEND",
            remedy="Name that backend, or begin anew with `make clean` (it keeps what is installed).",
        )


def miscounting(story: Story) -> dict[str, Any]:
    """The champion trained on, with an export in which every sum is one too many. What it learns from and is judged by agree."""
    path = story.settings.home / "data" / "miscounted.jsonl"
    lines = []
    for chat in chats(story.settings):
        *asked, answer = chat["messages"]
        text = str(int(answer["content"]) + 1) if re.fullmatch(r"\d+", answer["content"]) else answer["content"]
        lines.append(json.dumps({**chat, "messages": [*asked, {**answer, "content": text}]}))
    atomic.write(path, "\n".join(lines) + "\n")
    return {"base_model": str(_champion(story)), "data_source": str(path), "epochs": 3.0, "learning_rate": 0.002}


def slow(story: Story) -> dict[str, Any]:
    """The champion with layers that cost time and change nothing."""
    target = story.settings.home / "demo" / "slow"
    command = [str(story.settings.python("llm")), "-m", "include.demo.idle_layers", str(_champion(story)), str(target), str(IDLE_LAYERS)]
    done = subprocess.run(command, cwd=story.settings.repo, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComponentError(f"the slow model could not be made: {done.stderr[-500:]}", where="demo")
    return {"base_model": str(target), "epochs": 0.05, "learning_rate": 1e-6}


def _champion(story: Story) -> Path:
    """The champion's weights as it was trained, out of MLflow."""
    version = story.mlflow.aliases(MODEL)[CHAMPION]
    target = story.settings.home / "demo" / f"version_{version}"
    return story.mlflow.download(str(story.mlflow.version(MODEL, version)["run_id"]), "model", target)


CHAPTERS = (
    Chapter("A chat model fine-tuned for a moment, the first champion", {"epochs": 0.3, "min_score": 0.0}, "PROMOTE"),
    Chapter("The same with its whole training, on trial with real conversations", {}, "PROMOTE"),
    Chapter(
        "Trained on, with answers that an export has spoilt: by its own data it is good, and live prompts tell", miscounting, "ROLLBACK",
        ("quality",),
    ),
    Chapter("As good as the champion, but slow", slow, "ROLLBACK", ("latency", "token time")),
)  # fmt: skip
SCRIPT = Script(
    MODEL,
    CHAPTERS,
    client,
    "{rate:g} questions a second, as many as this machine's champion can answer beside a trial,",
    "/v1/chat/completions",
    run_s=900,
)
