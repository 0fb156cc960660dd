"""``make demo``, ``make demo-llm``, ``make demo-drift``, ``make demo-search``, ``make demo-labels``: the platform up, a story told, and its
result in ``.updraft/demo.json``, ``demo-llm.json``, and so on.

``MODEL=signs make demo`` and ``MODEL=intents make demo`` tell it of photos and of texts, in networks of PyTorch (``demo-signs.json``).
``BACKEND=vllm make demo-llm`` tells it of the same chat model behind vLLM. ``TARGET=docker make demo``: its steps are
containers; ``TARGET=kubernetes``: pods.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from include.demo import digits, drift, intents, labels, search, signs, tinychat
from include.demo.drift import Drift
from include.demo.progress import Progress
from include.demo.story import Story
from include.errors import InputError, spoken
from include.platform.__main__ import where_to_look
from include.platform.up import up
from include.registry.mlflow import Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import PRIVATE, Settings

PATIENCE_S = 600
"""A loaded machine may take so long to answer what the story only looks at (seconds)."""
Teller = Callable[[Settings, Credentials, AirflowApi, Mlflow, Progress], Story | Drift | search.Search | labels.Labels]


def _one_backend(settings: Settings, models: Path) -> Path:
    tinychat.check_one_backend(settings, models)
    return models


def _as_they_are(settings: Settings, models: Path) -> Path:
    return models


STORIES: dict[str, tuple[Callable[[Settings, Path], Path], Teller]] = {
    "demo": (_as_they_are, partial(Story, digits.SCRIPT)),
    "demo-signs": (_as_they_are, partial(Story, signs.SCRIPT)),
    "demo-intents": (_as_they_are, partial(Story, intents.SCRIPT)),
    "demo-llm": (_one_backend, partial(Story, tinychat.SCRIPT)),
    "demo-drift": (lambda settings, models: drift.write_model(settings), Drift),
    "demo-search": (lambda settings, models: search.write_model(settings), search.Search),
    "demo-labels": (lambda settings, models: labels.write_model(settings), labels.Labels),
}
"""What makes a story's folder of models ready, and returns it; and who tells the story."""


def story_of(name: str, model: str) -> str:
    """Return the story's name, of ``model`` where one is named. Raises InputError for a model that there is no story of."""
    found = f"{name}-{model}" if model and model != digits.MODEL else name
    if found not in STORIES:
        known = [digits.MODEL, *(one.removeprefix("demo-") for one in STORIES if STORIES[one][0] is _as_they_are and one != "demo")]
        raise InputError(f"there is no story of {model}.", where="MODEL", remedy=f"Name one of: {', '.join(known)}.")
    return found


@spoken
def main(name: str = "demo", model: str = "") -> int:
    progress = Progress()
    os.umask(PRIVATE)
    name = story_of(name, model)
    settings = Settings.load()
    prepared, teller = STORIES[name]
    models = settings.models
    if target := os.environ.get("TARGET"):
        os.environ["UPDRAFT_TARGET"] = target
    if backend := os.environ.get("BACKEND"):
        models = settings.home / "demo-models" / backend
        tinychat.models_served_by(backend, models, settings.models)
    models = prepared(settings, models)
    if models != settings.models:
        os.environ["UPDRAFT_MODELS"] = str(models)
    progress.say("Starting the platform")
    credentials = up(settings, progress.say)
    settings.remember()
    password = credentials.airflow_passwords[ADMIN]
    api = AirflowApi(settings.airflow_url, ADMIN, password, 120, patience_s=PATIENCE_S, say=lambda text: progress.say(f"  {text}"))
    mlflow = Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password)
    story = teller(settings, credentials, api, mlflow, progress)
    result = story.tell()
    kept = settings.home / f"{name}.json"
    kept.write_text(json.dumps(result, indent=1))
    print(story.summary(result))
    print(where_to_look(settings, credentials))
    if why := story.failure(result):
        print(f"Updraft: demo: {why} The result is in {kept}.", file=sys.stderr)
        return 1
    print(f"  The result is in {kept}. The platform goes on running; stop it with `make down`.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
