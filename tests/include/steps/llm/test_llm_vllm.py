"""The steps of a language model that vLLM serves: real vLLM, a model of two layers that was taught a few words."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from include.bundles.chat import ChatBundle
from include.runtime.settings import REPO, Settings
from tests.include.serving.stage import processes
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.taught import PAIRS, Taught
from tests.waiting import ended, until

SHAPE = {"num_attention_heads": 2, "num_key_value_heads": 1}
"""Heads of 32 dimensions: vLLM computes no smaller ones on processors."""
SPEC = {
    "data": {"source": "chats.jsonl", "max_tokens": 128},
    "serve": {"backend": "vllm", "context": 128, "parallel": 2},
    "optimize": {"methods": [], "golden_prompts": 4},
}
PROGRAM = """
import os, sys, time
from pathlib import Path
from include.backends.vllm.spec import VllmServe
from include.backends.vllm.client import served

with served(Path(sys.argv[1]), VllmServe(context=64, parallel=1)) as server:
    print(server.url, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def vllm() -> None:
    if not Settings.load().python("vllm").exists():
        pytest.skip("runtime vllm is not installed: make install-vllm")


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("vllm")
@pytest.mark.soak
def test_a_model_is_converted_verified_and_compared_as_champion_behind_vllm(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    model = Taught.make(tmp_path / "one", llm, mlflow, config=SHAPE, **SPEC)
    done = model.bundle()
    (only,) = done.result["candidates"]
    assert (only["name"], only["same"], only["accurate"]) == ("bf16", 1.0, True)
    assert only["tokens_per_s"]["1"] > 0 and only["tokens_per_s"]["2"] > 0
    folder = Path(done.result["bundle"])
    bundle = ChatBundle.read(folder, "model")
    assert bundle.chat["forms"] == done.result["chosen"] == "bf16"
    assert json.loads((folder / "model" / "config.json").read_text())["dtype"] == "bfloat16"
    assert only["size_bytes"] == (folder / "model" / "model.safetensors").stat().st_size
    known = dict(PAIRS)
    assert len(bundle.golden.prompts) == 4
    assert all(one.answer == known[one.messages[0]["content"]] for one in bundle.golden.prompts)
    assert "bundle/model/config.json" in mlflow.artifacts(model.run_id, "bundle/model")
    compared = model.step("evaluate", model=model.base, champion=str(folder), champion_version="1")
    assert compared.result, compared.log
    champion = json.loads(Path(compared.result["evaluation"]).read_text())["champion"]
    assert champion["scores"]["exact_match"]["value"] == compared.result["score"] > 0.4


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("vllm")
def test_a_step_that_is_killed_leaves_nothing_of_vllm_behind(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    base = Taught.make(tmp_path / "one", llm, mlflow, config=SHAPE, **SPEC).base
    far = tmp_path / ("far" * 40)  # as a step's own folder may be: longer than a socket's path
    far.mkdir()
    environment = os.environ | {"TMPDIR": str(far)}
    command = [str(Settings.load().python("llm")), "-c", PROGRAM, base]
    step = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert step.stdout.readline().startswith("http")
        (server,) = processes(str(far / "vLLM"))
        family = descendants(step.pid)
        assert server and len(family) >= 3  # the server, its engine, the engine's worker
    finally:
        step.kill()
        step.wait()
    until(lambda: all(map(ended, family)), 60)


@pytest.mark.integration
def test_what_vllm_cannot_serve_is_refused_before_it_is_trained(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    heads = Taught.make(tmp_path / "one", llm, mlflow, **SPEC).step("base")
    assert heads.error["kind"] == "input" and "16 dimensions" in heads.message
    split = SPEC | {"serve": SPEC["serve"] | {"arguments": {"tensor-parallel-size": 3}}}
    parallel = Taught.make(tmp_path / "two", llm, mlflow, config=SHAPE, **split).step("base")
    assert "3 does not divide the model's 2 attention heads and 1 key-value heads. Possible: 1, 2." in parallel.message.replace("\n", " ")


def descendants(process: int) -> list[int]:
    found = [int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()]
    return found + [other for child in found for other in descendants(child)]
