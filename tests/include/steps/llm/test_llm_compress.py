"""The step `llm.optimize` for vLLM: a model becomes the folders that vLLM serves, or the step says why not, with figures."""

import json
import os
import random
import resource
import subprocess
from pathlib import Path

import pytest

from include.backends.vllm.compress import GIB, available, bounded, check, chosen, enough, needed
from include.bundles.chat import ChatBundle
from include.data import chats
from include.errors import InputError
from include.estimate.tensors import Tensor
from include.runtime.settings import REPO, Settings
from include.spec.llm import Quantization
from tests.include.steps.conftest import Done, Mlflow, Trainer
from tests.include.steps.llm.taught import Taught

pytestmark = pytest.mark.timeout(900)
METHODS = ["awq", "gptq", "w8a8"]
WIDE = {"hidden_size": 128, "intermediate_size": 256}
"""What 128 divides."""
LIMITS = {"calibration_chats": 8, "golden_prompts": 4, "min_speedup": 0.01, "max_score_drop": 0.5}
"""So that a quantised form is served, however fast it is here."""


def taught(home: Path, llm: Trainer, mlflow: Mlflow, config: dict[str, int], methods: list[str], **optimize: float) -> Taught:
    serve = {"backend": "vllm", "context": 128, "parallel": 2}
    data = {"source": "chats.jsonl", "max_tokens": 128}
    return Taught.make(home, llm, mlflow, config=config, data=data, serve=serve, optimize={"methods": methods, **optimize})


def compress(model: Taught, quantise: Trainer) -> Done:
    return quantise.step(*model.request("optimize", model=model.base), **model.environment())


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory, llm: Trainer, quantise: Trainer, mlflow: Mlflow) -> tuple[Taught, Done]:
    """Every form of a model, made once."""
    model = taught(tmp_path_factory.mktemp("compress") / "one", llm, mlflow, WIDE, METHODS, **LIMITS)
    return model, compress(model, quantise)


@pytest.mark.integration
def test_every_form_is_a_model_for_vllm_and_smaller_than_with_16_bits(compressed: tuple[Taught, Done]) -> None:
    model, done = compressed
    assert done.result, done.log
    folder = Path(done.result["folder"])
    assert [one["name"] for one in json.loads((folder / "candidates.json").read_text())] == ["bf16", *METHODS]
    sizes = {one["name"]: one["size_bytes"] for one in done.result["forms"]}
    assert sizes["bf16"] > sizes["w8a8"] > sizes["awq"] > sizes["gptq"] > 0  # awq has zero points beside its scales
    configs = {name: json.loads((folder / name / "config.json").read_text()) for name in sizes}
    weights = {name: one["quantization_config"]["config_groups"]["group_0"]["weights"] for name, one in configs.items() if name != "bf16"}
    assert "quantization_config" not in configs["bf16"] and configs["bf16"]["dtype"] == "bfloat16"
    assert {name: (one["num_bits"], one["group_size"], one["symmetric"]) for name, one in weights.items()} == {
        "awq": (4, 128, False),
        "gptq": (4, 128, True),
        "w8a8": (8, None, True),
    }
    for name in sizes:
        assert {path.name for path in (folder / name).iterdir()} >= {"model.safetensors", "tokenizer.json", "chat_template.jinja"}
        assert (folder / name / "tokenizer.json").read_bytes() == (Path(model.base) / "tokenizer.json").read_bytes()


@pytest.mark.integration
def test_what_was_calibrated_on_is_recorded_and_drawn_again_the_same(compressed: tuple[Taught, Done]) -> None:
    model, done = compressed
    kept = json.loads((done.out / "calibration.json").read_text())
    train = chats.table(model.table, "train")
    assert kept["ids"] == [row.id for row in chosen(train, 8, 0)] and len(set(kept["ids"])) == 8
    assert not set(kept["ids"]) & {row.id for row in chats.table(model.table, "eval")}
    used = done.result["calibration"]
    assert (used["chats"], used["seed"], used["digest"]) == (8, 0, kept["digest"]) and used["tokens"] > 8 * 5


def test_the_chats_are_a_matter_of_the_seed_and_not_of_the_order() -> None:
    rows = [chats.Row(f"{number:04}", "train", "all", [{"role": "user", "content": str(number)}]) for number in range(100)]
    mixed = random.Random(1).sample(rows, len(rows))
    assert chosen(rows, 10, 0) == chosen(mixed, 10, 0) != chosen(rows, 10, 1)
    assert len(chosen(rows, 1000, 0)) == 100


@pytest.mark.integration
def test_a_shape_that_128_does_not_divide_is_refused_before_it_is_trained(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    done = taught(tmp_path / "one", llm, mlflow, {"hidden_size": 128, "intermediate_size": 192}, ["awq"]).step("base")
    assert done.error["kind"] == "input" and "model.layers.0.mlp.down_proj.weight has 192 inputs, no multiple of 128" in done.message
    assert "Use w8a8" in done.message


def linear(rows: int, cols: int) -> list[Tensor]:
    return [
        Tensor("model.embed_tokens.weight", (1000, 100), "bfloat16", 0.0),
        Tensor("model.layers.0.mlp.down_proj.weight", (rows, cols), "bfloat16", 0.0),
    ]


def test_w8a8_needs_no_groups() -> None:
    check(linear(64, 192), [Quantization.W8A8])
    check(linear(64, 256), [Quantization.AWQ, Quantization.GPTQ])
    with pytest.raises(InputError, match=r"gptq shares a scale among 128 weights, .* 192 inputs, no multiple of 128 \(1 of the 1 linear"):
        check(linear(64, 192), [Quantization.W8A8, Quantization.GPTQ])


def test_memory_is_refused_before_anything_starts_with_its_figures() -> None:
    awq, gptq = (needed(linear(1024, 16384), [method], 10_000) for method in (Quantization.AWQ, Quantization.GPTQ))
    assert gptq.statistics - awq.statistics == 4 * 4 * 16384**2 and gptq.weights == awq.weights > 2 * 1024 * 16384
    enough(gptq, gptq.total)
    with pytest.raises(InputError, match=rf"takes {gptq.total / GIB:.2f} GiB \(weights .*\), and 1\.00 GiB are free") as caught:
        enough(gptq, GIB)
    assert "optimize.calibration_chats" in caught.value.remedy


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1677721600 bytes."), "another 1677721600 bytes."),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has ..."), "another 2.50 GiB."),
        (MemoryError(), "ran out of memory."),
    ],
)
def test_a_lack_of_memory_is_the_users_to_know(error: Exception, said: str) -> None:
    with pytest.raises(InputError, match=said), bounded(on_gpu=True):
        raise RuntimeError("the pipeline failed") from error


def test_any_other_error_stays_what_it_is() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(RuntimeError, match="shapes"), bounded(on_gpu=False):
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] > 0
        raise RuntimeError("shapes do not match")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before and available() > 0


@pytest.mark.integration
def test_memory_that_ends_on_the_way_ends_the_step_with_the_figure(tmp_path: Path, quantise: Trainer) -> None:
    """A real allocation that fails, inside the bound that the step sets itself."""
    code = (
        "import torch\n"
        "from include.backends.vllm import compress\n"
        "compress.available = lambda: float(2**28)\n"
        "try:\n"
        "    with compress.bounded(on_gpu=False):\n"
        "        torch.ones(2**28)\n"
        "except compress.InputError as error:\n"
        "    print(error)\n"
    )
    command = [str(Settings.load().python("quantise")), "-c", code]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(REPO)})
    assert "quantising ran out of memory: it asked for another 1073741824 bytes." in done.stdout


@pytest.mark.integration
@pytest.mark.soak
def test_a_quantised_form_is_verified_behind_vllm_and_bundled(compressed: tuple[Taught, Done]) -> None:
    if not Settings.load().python("vllm").exists():
        pytest.skip("runtime vllm is not installed: make install-vllm")
    model, optimized = compressed
    forms = [one for one in json.loads((optimized.out / "candidates.json").read_text()) if one["name"] in ("bf16", "w8a8")]
    (optimized.out / "candidates.json").write_text(json.dumps(forms))  # each form costs a start of vLLM
    done = model.step("verify", model=model.base, optimized=str(optimized.out))
    assert done.result, done.log
    plain, fewer = done.result["candidates"]
    assert (plain["name"], plain["same"], plain["speedup"]) == ("bf16", 1.0, [1, 1, 1])
    assert fewer["accurate"] and fewer["same"] > 0.5 and fewer["tokens_per_s"]["2"] > 0
    assert fewer["size_bytes"] < plain["size_bytes"] and min(plain["memory_bytes"], fewer["memory_bytes"]) > 2**28
    bundle = ChatBundle.read(Path(done.result["bundle"]), "model")
    assert done.result["chosen"] == bundle.chat["forms"] == "w8a8" and len(bundle.golden.prompts) == 4
    assert json.loads((bundle.model / "config.json").read_text())["quantization_config"]["quant_method"] == "compressed-tensors"
