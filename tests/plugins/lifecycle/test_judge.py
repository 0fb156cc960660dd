"""The model that judges, out of a real Airflow connection; nothing is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from include.runtime.settings import REPO

PROGRAM = """
import json, sys
from include.errors import UpdraftError
from include.runtime.settings import Settings
from include.spec.llm import Judge
from lifecycle.operators.judge import judge_model

def told(judge):
    try:
        model = judge_model(Judge(**judge), Settings.load())
        return [type(model).__name__, model.model_name, model.base_url, model.provider.client.api_key]
    except UpdraftError as error:
        return [type(error).__name__, str(error)]

print(json.dumps([told(judge) for judge in json.loads(sys.argv[1])]))
"""
ELSEWHERE = {"conn_type": "pydanticai", "host": "https://api.example.com/v1", "password": "secret"}
CONNECTIONS = {
    "big": ELSEWHERE | {"extra": {"model": "openai-chat:big"}},
    "chain": ELSEWHERE | {"extra": {"model": "openai-chat:big", "fallback_conn_ids": ["nowhere"]}},
    "web": {"conn_type": "http", "host": "x"},
    "unnamed": ELSEWHERE,
    "bare": ELSEWHERE | {"extra": {"model": "big"}},
}
ASKED: list[dict[str, str]] = [
    {"model": "other"},
    {"connection": "big"},
    {"connection": "chain", "model": "openai-chat:small"},
    *({"connection": name} for name in ("missing", "web", "unnamed", "bare")),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """What became of each of ``ASKED``."""
    home = tmp_path_factory.mktemp("home")
    (home / "credentials.json").write_text(json.dumps({"api_keys": {"demo": "a", "updraft": "key-of-the-platform"}, "probe_secret": "s"}))
    environment = os.environ | {
        "PYTHONPATH": f"{REPO}:{REPO / 'plugins'}",
        "AIRFLOW_HOME": str(home / "airflow"),
        "UPDRAFT_HOME": str(home),
        "UPDRAFT_PORT_BASE": "22000",
        **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in CONNECTIONS.items()},
    }
    command = [sys.executable, "-c", PROGRAM, json.dumps(ASKED)]
    done = subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_without_a_connection_the_platforms_own_gateway_is_asked(models: list[list[Any]]) -> None:
    assert models[0] == ["OpenAIChatModel", "other", "http://127.0.0.1:22000/v1/", "key-of-the-platform"]


def test_a_connection_says_where_and_the_spec_may_name_another_model_there(models: list[list[Any]]) -> None:
    assert models[1] == ["OpenAIChatModel", "big", "https://api.example.com/v1/", "secret"]
    # Not a FallbackModel: what was measured on the labels is one model.
    assert models[2] == ["OpenAIChatModel", "small", "https://api.example.com/v1/", "secret"]


@pytest.mark.parametrize(
    ("index", "expected"),
    [(3, "isn't defined"), (4, 'Unknown hook type "http"'), (5, "No model specified"), (6, "has no default model provider")],
    ids=["missing", "of another type", "without a model", "without a provider"],
)
def test_a_connection_that_cannot_be_used_is_the_users_to_mend(models: list[list[Any]], index: int, expected: str) -> None:
    kind, told = models[index]
    name = ASKED[index]["connection"]
    assert kind == "InputError" and told.startswith(f"evaluate.judge.connection: {name!r} can't be used: ") and expected in told
    assert "with the type `Pydantic AI`" in told and "secret" not in told
