"""``make demo``, ``make demo-llm``, ``make demo-drift``: the platform up, a story told, its result in
``.updraft/demo.json``, ``demo-llm.json`` or ``demo-drift.json``.

``BACKEND=vllm make demo-llm`` tells it of the same chat model behind vLLM. ``TARGET=docker make demo``: its steps are
containers; ``TARGET=kubernetes``: pods.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from include.demo import digits, drift, tinychat
from include.demo.drift import Drift
from include.demo.progress import Progress
from include.demo.story import Story, failure
from include.errors import UpdraftError
from include.platform.__main__ import where_to_look
from include.platform.up import up
from include.registry.mlflow import Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN
from include.runtime.settings import PRIVATE, Settings
from include.verdict import Decision

PATIENCE_S = 600
"""A loaded machine may take so long to answer what the story only looks at (seconds)."""
DRIFT = "demo-drift"
STORIES = {"demo": digits.SCRIPT, "demo-llm": tinychat.SCRIPT}


def main(name: str = "demo") -> int:
    progress = Progress()
    os.umask(PRIVATE)
    try:
        settings = Settings.load()
        models = settings.models
        if target := os.environ.get("TARGET"):
            os.environ["UPDRAFT_TARGET"] = target
        if backend := os.environ.get("BACKEND"):
            models = settings.home / "demo-models" / backend
            tinychat.models_served_by(backend, models, settings.models)
            os.environ["UPDRAFT_MODELS"] = str(models)
        if name == DRIFT:
            os.environ["UPDRAFT_MODELS"] = str(drift.write_model(settings))
        if name == "demo-llm":
            tinychat.check_one_backend(settings, models)
        progress.say("Starting the platform")
        credentials = up(settings, progress.say)
        settings.remember()
        password = credentials.airflow_passwords[ADMIN]
        api = AirflowApi(settings.airflow_url, ADMIN, password, 120, patience_s=PATIENCE_S, say=lambda text: progress.say(f"  {text}"))
        mlflow = Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password)
        if name == DRIFT:
            result = Drift(settings, credentials, api, mlflow, progress).tell()
        else:
            result = Story(STORIES[name], settings, credentials, api, mlflow, progress).tell()
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1
    kept = settings.home / f"{name}.json"
    kept.write_text(json.dumps(result, indent=1))
    print(drift.summary(result) if name == DRIFT else summary(result))
    print(where_to_look(settings, credentials))
    if why := "" if name == DRIFT else failure(result):
        print(f"Updraft: demo: {why} The result is in {kept}.", file=sys.stderr)
        return 1
    print(f"  The result is in {kept}. The platform goes on running; stop it with `make down`.")
    return 0


def summary(result: dict[str, Any]) -> str:
    """The story in a few lines."""
    told = (
        f"\nIn {result['seconds']} s: version {result['champion_version']} is champion. "
        f"The client sent {result['requests_total']} requests; {result['requests_failed_stable']} of those to stable versions failed.\n"
    )
    if result["runs"][-1]["verdict"] == Decision.FAIL:
        return f"{told}The last version never reached production: {' '.join(result['runs'][-1]['reasons'])}"
    return told + (
        f"Version {result['runs'][-1]['version']} failed {result['requests_failed_canary']} requests of its slice, was found out after "
        f"{result['canary_detection_seconds']} s on trial and got no request any more {result['rollback_seconds']} s after the verdict."
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
