"""What a look at chats asks others: marks of the taught judge behind a real llama.cpp, and vectors of a real llama.cpp."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from include.gates import judgement
from include.gates.judgement import Judgement
from include.judge.labels import TWO
from include.kinds.load import load_as
from include.monitoring.embedder import Embedder
from include.monitoring.looks import Looks
from include.monitoring.meaning import ANSWERS, MARKS, QUESTIONS
from include.monitoring.rows import Logged, Reference
from include.runtime.settings import Settings
from lifecycle.operators import texts
from tests.include.judge.conftest import RUBRIC, SURE, UNSURE, Serve, Server, prompt
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.integration
EMBEDDER = """
import sys, time
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
params.n_ctx, params.n_parallel, params.embedding, params.cpuparams.n_threads = 1024, 2, True, 1
params.fit_params = False
params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(params)
while True:
    time.sleep(1)
"""


def rows(said: list[str]) -> Logged:
    """Logged chats with these answers, each to the prompt that the judge has learnt it with."""
    asked = [prompt(number % len(SURE)) for number in range(len(said))]
    known = pd.DataFrame({"question": [one[0]["content"] for one in asked], "answer": said, "messages": asked})
    return Logged(pd.Series([f"r{number}" for number in range(len(said))]), pd.DataFrame(), pd.Series(said), None, texts=known)


def judged(name: str, doubt: str = "", marks: tuple[int, ...] = (2, 26)) -> bytes:
    """What the version's own run has left of its judge."""
    agreed = judgement.agreement(TWO, [0, 1] * 14, [0, 1] * 14, 0.95)
    score = judgement.mean_mark(TWO, [1] * 28, 0.95)
    return json.dumps(asdict(Judgement(name, agreed, 0.6, 0.05, doubt, 28, 0, score, marks=marks))).encode()


class Run:
    """A run of a look at a model whose version was judged so."""

    model = "speaker"

    def __init__(self, folder: Path, kept: bytes) -> None:
        marked = [(number, said, mark) for answers, mark in ((SURE, "good"), (UNSURE, "bad")) for number, said in enumerate(answers)]
        lines = [{"messages": [*prompt(number), {"role": "assistant", "content": said}], "mark": mark} for number, said, mark in marked]
        (folder / "labels.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        (folder / "rubric.md").write_text(RUBRIC)
        self.folder, self.settings = folder, SimpleNamespace(home=folder, gateway_url="")
        wanted = SimpleNamespace(labels="labels.jsonl", rubric="rubric.md", max_tokens=64, parallel=2)
        self.spec = SimpleNamespace(evaluate=SimpleNamespace(judge=wanted))
        self.mlflow = SimpleNamespace(version=lambda *_: {"run_id": "r"}, read=lambda *_: kept)


@pytest.fixture
def name(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(texts, "judge_model", lambda *_: server.model)
    return f"model at {server.url.removeprefix('http://')}"


def test_marks_that_are_as_the_held_out_ones_are_no_change_and_worse_ones_are(name: str, tmp_path: Path) -> None:
    run: Any = Run(tmp_path, judged(name))
    good = texts.marks(run, 28, 3, rows(SURE * 2))
    assert good.unknown == [] and good.p_values[MARKS] > 0.05
    bad = texts.marks(run, 28, 3, rows(UNSURE * 2))
    assert bad.p_values[MARKS] < 0.001


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"doubt": "kappa 0.20 [0.10, 0.30], wanted 0.6"}, "not trusted"),
        ({"marks": ()}, "Run the model's lifecycle again"),
        ({"name": "another"}, "has not marked the held-out ones"),
    ],
)
def test_a_judge_whose_marks_cannot_be_compared_tells_nothing(name: str, tmp_path: Path, kept: dict[str, Any], said: str) -> None:
    run: Any = Run(tmp_path, judged(kept.pop("name", name), **kept))
    found = texts.marks(run, 28, 3, rows(SURE * 2))
    assert not found.p_values and said in found.unknown[0]


def test_a_judge_that_is_away_ends_no_look(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    away = OpenAIChatModel("model", provider=OpenAIProvider(base_url="http://127.0.0.1:9/v1", api_key="x"))
    monkeypatch.setattr(texts, "judge_model", lambda *_: away)
    run: Any = Run(tmp_path, judged("model at 127.0.0.1:9"))
    found = texts.beside(run, Looks(judged=28), 3)(Reference(pd.DataFrame(), pd.Series(), np.zeros(1), None, 0.0), rows(SURE * 2))
    assert not found.p_values and "Whether a judge marks answers otherwise is not known" in found.unknown[0]


@pytest.fixture(scope="module")
def embedder(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    """The taught judge's own weights as an embedder: no good one, and a real one."""
    model = next(tmp_path_factory.getbasetemp().glob("judge*/f16.gguf"))
    port = free_port()
    process = subprocess.Popen([str(Settings.load().python("llm")), "-c", EMBEDDER, str(model), str(port)])
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            return requests.get(f"{url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    try:
        until(up, 60, "the embedder")
        yield Embedder(url, {}, "model")
    finally:
        process.kill()
        process.wait()


def test_answers_that_mean_something_else_are_a_change_and_the_same_ones_none(embedder: Embedder) -> None:
    known = pd.DataFrame({"question": [prompt(n)[0]["content"] for n in range(14)] * 2, "answer": SURE * 2})
    reference = Reference(pd.DataFrame(), pd.Series(), np.zeros(28), None, 0.0, texts=known)
    same = texts.meaning(embedder, reference, rows(SURE * 2))
    assert same.unknown == [] and min(same.p_values[QUESTIONS], same.p_values[ANSWERS]) > 0.05
    other = texts.meaning(embedder, reference, rows(UNSURE * 2))
    assert other.p_values[ANSWERS] < 0.01 < other.p_values[QUESTIONS]
    without = texts.meaning(embedder, Reference(pd.DataFrame(), pd.Series(), np.zeros(1), None, 0.0), rows(SURE * 2))
    assert not without.p_values and "monitor.embedder" in without.unknown[0]


def test_a_spec_whose_looks_have_nothing_to_look_at_is_told(tmp_path: Path) -> None:
    from include.errors import InputError

    with pytest.raises(InputError, match=r"monitor\.judged"):
        load_as(_spec(tmp_path, "monitor: {judged: 30, log: {share: 1}}"), _llm())
    with pytest.raises(InputError, match=r"monitor\.embedder"):
        load_as(_spec(tmp_path, "monitor: {embedder: small}"), _llm())


def _spec(folder: Path, more: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(f"name: speaker\nkind: llm\nbase: base\ndata: {{source: chats.jsonl}}\n{more}\n")
    return path


def _llm() -> Any:
    from include.spec.llm import LlmSpec

    return LlmSpec
