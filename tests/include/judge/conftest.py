"""A small model that was taught to judge, behind a real llama.cpp."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from include.backends.client import Program, Running, running
from include.backends.llamacpp.backend import SERVER, LlamaCpp
from include.judge.labels import TWO
from include.judge.question import instructions, question
from include.runtime.settings import REPO, Settings

RUBRIC = "Good: the answer is sure. Bad: it is not."
WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen".split()  # noqa: SIM905
SURE, UNSURE = ([f"{how} {word}" for word in WORDS] for how in ("surely", "perhaps"))
"""Answers that the taught judge calls good, and bad."""
INSTRUCTIONS = instructions(RUBRIC, TWO, with_reference=False)


def prompt(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"What is {number}?"}]


def asked(number: int, said: str) -> str:
    return question(prompt(number), said, None)


class Server:
    """llama.cpp with the taught judge."""

    def __init__(self, up: Running) -> None:
        self.url, self.key, self.process = up.url, up.key, up.process

    @property
    def model(self) -> Model:
        """As pydantic-ai asks it."""
        return OpenAIChatModel("model", provider=OpenAIProvider(base_url=f"{self.url}/v1", api_key=self.key))

    def kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)


Serve = Callable[[], AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Starts a server of its own."""
    python, folder = Settings.load().python("llm"), tmp_path_factory.mktemp("judge")
    if not python.exists():
        pytest.skip("runtime llm is not installed: make install-llm")
    pairs = [
        (asked(number, said), json.dumps({"reason": said.split()[0], "mark": mark}))
        for answers, mark in ((SURE, "good"), (UNSURE, "bad"))
        for number, said in enumerate(answers)
    ]
    subprocess.run(
        [str(python), "-m", "tests.include.judge.taught_judge", str(folder)],
        input=json.dumps({"instructions": INSTRUCTIONS, "pairs": pairs}),
        text=True,
        check=True,
        cwd=REPO,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    program = Program("llama.cpp", str(python), SERVER, folder / "f16.gguf", LlamaCpp.causes, lambda get: bool(get("/props")))

    @contextmanager
    def served() -> Iterator[Server]:
        with running(program, {"context": 1024, "parallel": 2, "threads": 1}) as up:
            yield Server(up)

    return served


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Server]:
    with serve() as up:
        yield up
