"""The story of `make demo-llm`: a chat model that has hardly learned, one that has, and one that the gate refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from include.demo.story import Chapter, Script
from include.platform.credentials import Credentials
from include.platform.settings import Settings
from include.serving.traffic import ChatTraffic
from include.spec import document
from include.spec.load import load
from include.steps.user_code import importable, load_entry

MODEL = "tinychat"
RATE_PER_S = 25
QUESTIONS = 200
CHAPTERS = (
    Chapter("A chat model fine-tuned for a moment, the first champion", {"epochs": 0.3, "min_score": 0.0}, "PROMOTE"),
    Chapter("The same with its whole training, on trial with real conversations", {}, "PROMOTE"),
    Chapter("A training that went wrong: steps far too large, and too few", {"learning_rate": 0.3, "epochs": 2.0}, "FAIL"),
)


def client(settings: Settings, credentials: Credentials) -> ChatTraffic:
    """Asks what the model was made for, and compares the answers."""
    folder = settings.repo / "include" / "models" / MODEL
    with importable(folder):
        chats = list(load_entry(folder, "data:load")())[-QUESTIONS:]
    asked = [chat["messages"][:-1] for chat in chats]
    references = [chat["messages"][-1]["content"] for chat in chats]
    return ChatTraffic(settings.gateway_url, credentials.api_keys["demo"], MODEL, asked, RATE_PER_S, references=references)


def models_served_by(backend: str, folder: Path, models: Path) -> None:
    """The model folders ``models`` again in ``folder``, the chat model's spec with another ``serve.backend``. Nothing else is changed.

    Raises SpecError for a backend that there is not.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(models, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / MODEL / "model.yaml"
    spec: dict[str, Any] = document.read(path).value
    spec["serve"]["backend"] = backend
    path.write_text(json.dumps(spec, indent=1))  # which is YAML
    load(path)


SCRIPT = Script(MODEL, CHAPTERS, client, f"{RATE_PER_S} questions a second", "/v1/chat/completions", run_s=600)
