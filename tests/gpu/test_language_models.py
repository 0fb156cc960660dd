"""Fine-tuning in bf16 and AWQ on a real GPU, of a model with random weights. Skipped where there is none; never yet run on one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from include.estimate.model import read_model
from include.estimate.quantisation import scheme
from include.estimate.training import CONTEXT_MIB, Method, Training, estimate_training
from include.runtime.settings import Settings
from tests.gpu.conftest import MIB, Record
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.conftest import Language, made

pytestmark = pytest.mark.timeout(1800)
SIZES = {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 8}
"""0.7 billion parameters."""
TOKENS, BATCH, STEPS = 512, 4, 8
PEAK = "peak_memory_mib"
"""What training logs: all that torch had reserved."""
BASE = """
from tiny_tokenizer import tokenizer

def make(folder):
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    own = tokenizer()
    ids = {{"eos_token_id": own.eos_token_id, "pad_token_id": own.pad_token_id, "bos_token_id": None}}
    config = Qwen2Config(vocab_size=len(own), max_position_embeddings={tokens}, tie_word_embeddings=True, **{sizes}, **ids)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    own.save_pretrained(folder)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, on_gpu: Callable[[str], None], llm: Trainer, mlflow: Mlflow) -> Callable[..., Language]:
    """Makes a run of the model; keywords are parts of model.yaml."""
    on_gpu("llm")
    home = tmp_path_factory.mktemp("large")

    def make(name: str, **spec: object) -> Language:
        params = {"batch_size": BATCH, "epochs": 1.0}
        given = {"data": {"source": "chats.jsonl", "max_tokens": TOKENS}, "train": {"params": params}} | spec
        language = made(home / name, llm, mlflow.new_run(), **given)
        (language.folder / "base.py").write_text(BASE.format(tokens=TOKENS, sizes=SIZES))
        language.chats([(f"Count from {first}.", " ".join(map(str, range(first, first + 80)))) for first in range(2 * BATCH * STEPS)], 0.5)
        return language

    return make


@pytest.fixture(scope="module")
def base(model: Callable[..., Language]) -> Path:
    done = model("base").step("base")
    assert done.result, done.log
    return Path(done.result["model"])


@pytest.mark.parametrize("method", list(Method))
def test_fine_tuning_takes_what_is_estimated_at_most(
    model: Callable[..., Language], base: Path, mlflow: Mlflow, record: Record, method: Method
) -> None:
    """The estimate is of the longest chats there may be; its rule of thumb for CUDA's context is no part of what torch reserves."""
    language = model(method, train={"method": str(method), "params": {"batch_size": BATCH, "epochs": 1.0}})
    done = language.step("train", base=str(base))
    assert done.result, done.log
    held = "float32" if method is Method.FULL else None  # as include/kinds/llm/steps/train.py holds what it trains
    found = estimate_training(read_model(str(base)), Training(method, TOKENS, BATCH, dtype=held))
    expected, peak = found.total - CONTEXT_MIB, mlflow.metrics(language.run_id)[PEAK]
    record.row(f"training, {method}, {BATCH} chats at once", expected, peak)
    assert found.weights < peak <= 1.1 * expected


def test_awq_on_a_gpu_makes_the_size_that_is_estimated(
    model: Callable[..., Language], base: Path, on_gpu: Callable[[str], None], quantise: Trainer, record: Record
) -> None:
    on_gpu("quantise")
    serve = {"backend": "vllm", "context": TOKENS, "parallel": 2}
    language = model("awq", serve=serve, optimize={"methods": ["awq"], "calibration_chats": 32})
    done = quantise.step(*language.request("optimize", model=str(base)), **language.environment())
    assert done.result, done.log
    awq = next(form for form in done.result["forms"] if form["name"] == "awq")
    expected = sum(tensor.bytes for tensor in read_model(str(base)).tensors(None, scheme("awq")))
    record.row(f"weights after AWQ, made in {awq['seconds']:g} s", expected / MIB, awq["size_bytes"] / MIB)
    assert awq["size_bytes"] == pytest.approx(expected, rel=0.05)


@pytest.fixture(scope="session")
def on_gpu() -> Callable[[str], None]:
    """Skips unless a runtime's torch is of the build for GPUs."""

    def look(runtime: str) -> None:
        python = Settings.load().python(runtime)
        if not python.exists():
            pytest.skip(f"runtime {runtime} is not installed: make install-{runtime}")
        command = [str(python), "-c", "import torch; raise SystemExit(not torch.cuda.is_available())"]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip(f"the torch of runtime {runtime} knows no GPU")

    return look
