"""Serving: the breakdown, the verdict, the largest context."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.estimate.architecture import architecture
from include.estimate.engines import engine_constants, gpu
from include.estimate.model import Model, known_model, read_model
from include.estimate.quantisation import SCHEMES
from include.estimate.serving import Serving, batch, estimate, fits, largest_context, stage_estimates
from include.estimate.tensors import tensors_of
from include.estimate.weights import MIB, Parallel
from include.verdict import Decision
from tests.include.estimate.test_checkpoint import write

H100 = gpu("H100-80GB")
LLAMA = known_model("meta-llama/Llama-3.1-8B-Instruct")
TINY: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 2, "num_hidden_layers": 3,
    "intermediate_size": 192, "vocab_size": 1024, "max_position_embeddings": 512, "torch_dtype": "bfloat16",
}  # fmt: skip


def tiny(**changes: object) -> Model:
    return Model("tiny", "config.json", architecture({**TINY, **changes}, name="tiny"))


def tiny_folder(folder: Path) -> int:
    """A whole tiny model on disk; its weights' bytes."""
    tensors = tensors_of(architecture(TINY, name="tiny"), "bfloat16")
    (folder / "config.json").write_text(json.dumps(TINY))
    write(folder / "model.safetensors", {t.name: ("BF16", list(t.shape)) for t in tensors})
    return sum(2 * t.params for t in tensors)


def test_a_folders_weights_are_its_true_bytes(tmp_path: Path) -> None:
    true = tiny_folder(tmp_path)
    found = estimate(read_model(str(tmp_path)), H100, Serving(context=128))
    assert found.parameters * MIB == true
    assert found.tables * MIB == 512 * 8 * 2
    assert (tmp_path / "model.safetensors").stat().st_size > true


def test_a_folder_and_its_config_agree(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    folder, config = read_model(str(tmp_path)), read_model(str(tmp_path / "config.json"))
    assert folder.stored and not config.stored
    for parallel in (Parallel(), Parallel(2), Parallel(1, 3), Parallel(4, 2)):
        serving = Serving(context=128, parallel=parallel)
        assert [s.weights for s in stage_estimates(folder, H100, serving)] == [s.weights for s in stage_estimates(config, H100, serving)]


def test_a_folder_is_quantised_while_loading_as_its_config_would_be(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    serving = Serving(context=128, scheme=SCHEMES["fp8"])
    folder, config = read_model(str(tmp_path)), read_model(str(tmp_path / "config.json"))
    assert estimate(folder, H100, serving).weights == estimate(config, H100, serving).weights
    assert estimate(folder, H100, serving).weights < estimate(folder, H100, Serving(context=128)).weights


def test_a_tied_head_in_the_file_is_not_loaded_twice(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    both = estimate(read_model(str(tmp_path)), H100, Serving()).parameters
    (tmp_path / "config.json").write_text(json.dumps({**TINY, "tie_word_embeddings": True}))
    assert (both - estimate(read_model(str(tmp_path)), H100, Serving()).parameters) * MIB == 1024 * 64 * 2


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        read_model(str(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", "null", "{", "\x00\x01", "9" * 10_000])
def test_a_malformed_config_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json"):
        read_model(str(tmp_path))


@settings(deadline=None)
@given(
    context=st.integers(1, 100_000),
    concurrency=st.integers(1, 64),
    tensor=st.sampled_from([1, 2, 4, 8]),
    pipeline=st.sampled_from([1, 2, 3]),
    scheme=st.sampled_from([None, *SCHEMES.values()]),
)
def test_the_breakdown_adds_up(context: int, concurrency: int, tensor: int, pipeline: int, scheme: Any) -> None:
    serving = Serving(context, concurrency, Parallel(tensor, pipeline), scheme=scheme)
    for found in stage_estimates(tiny(), H100, serving):
        parts = (found.parameters, found.allocator, found.tables, found.activation, found.non_torch, found.kv_need, found.graphs)
        assert found.total == pytest.approx(sum(parts))
        assert all(part >= 0 for part in parts)
        assert found.weights + found.activation + found.non_torch + found.kv_pool == pytest.approx(found.budget)


@settings(deadline=None)
@given(context=st.integers(1, 50_000), more=st.integers(0, 50_000), concurrency=st.integers(1, 64), others=st.integers(0, 64))
def test_need_grows_with_context_and_concurrency(context: int, more: int, concurrency: int, others: int) -> None:
    less = estimate(tiny(), H100, Serving(context, concurrency))
    assert estimate(tiny(), H100, Serving(context + more, concurrency)).total >= less.total
    assert estimate(tiny(), H100, Serving(context, concurrency + others)).total >= less.total


@settings(deadline=None)
@given(
    field=st.sampled_from(["num_hidden_layers", "intermediate_size", "vocab_size"]),
    factor=st.integers(2, 6),
    tensor=st.sampled_from([1, 2, 4]),
)
def test_need_grows_with_parameters(field: str, factor: int, tensor: int) -> None:
    serving = Serving(parallel=Parallel(tensor))
    larger = estimate(tiny(**{field: TINY[field] * factor}), H100, serving)
    assert larger.weights > estimate(tiny(), H100, serving).weights
    assert larger.total > estimate(tiny(), H100, serving).total


@pytest.mark.parametrize("name", ["Llama-3.3-70B-Instruct", "Qwen3-30B-A3B", "gemma-3-27b-it"])
def test_more_ranks_leave_each_less_weights_and_more_cache(name: str) -> None:
    found = [estimate(known_model(name), H100, Serving(parallel=Parallel(tensor))) for tensor in (1, 2, 4)]
    assert found[0].weights > found[1].weights > found[2].weights
    assert found[0].kv_pool < found[1].kv_pool < found[2].kv_pool


@settings(deadline=None, max_examples=50)
@given(concurrency=st.integers(1, 300), name=st.sampled_from(["Llama-3.1-8B-Instruct", "gemma-2-9b-it", "DeepSeek-V2-Lite", "Qwen3-32B"]))
def test_the_largest_context_fits_and_a_block_more_does_not(concurrency: int, name: str) -> None:
    model = known_model(name)
    best = largest_context(estimate(model, H100, Serving(1, concurrency)))
    assert best > 0
    assert fits(model, H100, Serving(best, concurrency)).decision is Decision.PASS
    assert fits(model, H100, Serving(best + 16, concurrency)).decision is Decision.FAIL


def test_a_verdict_says_what_broke_and_by_how_much() -> None:
    verdict = fits(known_model("Llama-3.3-70B-Instruct"), H100, Serving())
    assert verdict.decision is Decision.FAIL
    assert "does not fit" in verdict.reasons[0] and "GiB" in verdict.reasons[0]
    assert verdict.evidence["largest_context"] == 0
    json.dumps(verdict.to_json(), allow_nan=False)


def test_graphs_count_against_the_device_though_not_against_the_engines_share() -> None:
    full = Serving(context=16, utilisation=1.0)
    best = largest_context(estimate(LLAMA, H100, full))
    without = largest_context(estimate(LLAMA, H100, replace(full, graphs=False)))
    assert best < without


def test_a_smaller_device_profiles_a_smaller_batch() -> None:
    assert batch(H100, Serving()) == (8192, 1024)
    assert batch(gpu("A100-80GB"), Serving()) == (2048, 256)
    assert estimate(LLAMA, gpu("A100-80GB"), Serving()).activation < estimate(LLAMA, H100, Serving()).activation


def test_only_the_last_stage_samples() -> None:
    first, last = stage_estimates(LLAMA, H100, Serving(parallel=Parallel(1, 2)))
    assert first.activation < last.activation


@pytest.mark.parametrize(
    ("engine", "since", "says"),
    [
        ("vllm==0.19.0", "0.17", "measured at 0.19.0"),
        ("vllm", "0.21", "measured at 0.19.0"),
        ("vllm==0.18.1", "0.17", "0.18.1 itself was not measured"),
        ("vllm==0.25.1", "0.21", "a version newer than 0.19.0 may differ"),
        ("vllm==0.16.0", "0.9", "before the sampler's change"),
        ("vllm==0.10.2", "0.9", "0.10.2 on H100"),
        ("vllm==0.7.3", "0.5", "0.7.3 itself was not measured"),
        ("vllm==0.2", "0", "the oldest measured is vllm 0.5"),
        ("sglang==0.5.1", "0", "no version of sglang was measured"),
        ("sglang==0.5.1", "0", "general rule"),
    ],
)
def test_constants_are_chosen_by_engine_and_version_and_say_so(engine: str, since: str, says: str) -> None:
    constants, _, why = engine_constants(engine)
    assert constants.since == since
    assert says in why


@pytest.mark.parametrize("engine", ["", "==1", "vllm==", "vllm==x", "v" * 100, "vllm==1." + "1." * 50])
def test_an_engine_that_is_none_is_refused(engine: str) -> None:
    with pytest.raises(InputError, match="engine"):
        engine_constants(engine)


def test_an_architecture_of_its_own_is_named_among_the_reasons() -> None:
    found = estimate(known_model("google/gemma-2-9b-it"), H100, Serving())
    assert any("architecture Gemma2" in reason for reason in found.reasons)


def test_a_guess_is_called_one() -> None:
    found = estimate(tiny(model_type="novel"), H100, Serving(engine="other"))
    assert any("not a measurement" in reason for reason in found.reasons)
    assert any("a guess" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    "change",
    [
        *({"context": value} for value in (0, -5, 10**12, 1.5)),
        *({"concurrency": value} for value in (0, True, 10**12)),
        *({"utilisation": value} for value in (0, 1.1, float("nan"))),
        {"batch_tokens": -1},
    ],
)
def test_an_impossible_request_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="serving"):
        Serving(**change)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("H100-80GB", "H100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100-80GB"),
        ("h200", "H200-141GB"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A100-PCIE-40GB", "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("Tesla V100-SXM2-32GB", "V100-32GB"),
        ("24GiB", "24GiB"),
    ],
)
def test_a_gpu_is_known_by_its_short_and_its_drivers_name(text: str, name: str) -> None:
    assert gpu(text).name == name


@pytest.mark.parametrize(("text", "mib"), [("20GiB", 20_480), ("2TiB", 2 * 1024**2), ("20GB", 19_073.49), ("500 MB", 476.84)])
def test_a_size_is_in_the_units_that_the_pool_takes(text: str, mib: float) -> None:
    assert gpu(text).cuda_mib == pytest.approx(mib, abs=0.01)


@pytest.mark.parametrize("text", ["NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA H100 NVL", "NVIDIA A1000", "NVIDIA GeForce RTX 3090 Ti"])
def test_another_card_that_is_called_alike_is_not_taken_for_it(text: str) -> None:
    with pytest.raises(InputError, match="gpu"):
        gpu(text)


@pytest.mark.parametrize("text", ["", "RTX-9999", "0MiB", "-5GiB", "99999999GiB"])
def test_an_unknown_gpu_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="gpu"):
        gpu(text)


def test_without_nvlink_tensor_parallel_takes_a_tenth_outside_of_torch() -> None:
    serving = Serving(parallel=Parallel(2))
    joined, apart = estimate(LLAMA, H100, serving), estimate(LLAMA, gpu("RTX-4090"), serving)
    assert joined.non_torch == 2120 and apart.non_torch == 340
    assert any("over PCIe" in reason for reason in apart.reasons)


def test_what_ran_on_consumer_cards_is_not_refused() -> None:
    """Public logs: a 14B model on two RTX 4090, 30B experts in 4 bits on one RTX 3090."""
    two = Serving(16_384, parallel=Parallel(2), engine="vllm==0.7.2", utilisation=0.98, graphs=False)
    one = Serving(8192, engine="vllm==0.8.5", scheme=SCHEMES["w4a16"], batch_requests=8, graphs=False)
    assert fits(known_model("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"), gpu("RTX-4090"), two).decision is Decision.PASS
    assert fits(known_model("Qwen/Qwen3-30B-A3B"), gpu("RTX-3090"), one).decision is Decision.PASS


def test_since_0_21_graphs_are_taken_out_of_the_engines_share() -> None:
    before, since = (estimate(LLAMA, H100, Serving(engine=f"vllm=={version}")) for version in ("0.20.0", "0.21.0"))
    assert since.graphs == before.graphs > 0
    assert before.kv_pool - since.kv_pool == pytest.approx(since.graphs)
    best = largest_context(since)
    assert fits(LLAMA, H100, Serving(best, engine="vllm==0.21.0")).decision is Decision.PASS
    assert fits(LLAMA, H100, Serving(best + 16, engine="vllm==0.21.0")).decision is Decision.FAIL


def test_the_v0_engine_profiles_a_whole_prompt() -> None:
    assert batch(gpu("A40"), Serving(context=20_000, engine="vllm==0.7.2")) == (20_000, 256)
    assert batch(gpu("A40"), Serving(context=100_000, engine="vllm==0.7.2")) == (2048, 256)
