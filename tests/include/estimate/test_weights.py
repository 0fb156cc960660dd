"""Weights on a GPU: what is split, what is kept whole, what the allocator adds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import InputError
from include.estimate.architecture import Architecture
from include.estimate.model import known_model
from include.estimate.quantisation import SCHEMES, dtype_name, scheme_of_config
from include.estimate.weights import MIB, Parallel, StageWeights, allocated, layer_split, stage_weights

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def stages(name: str, tensor: int = 1, pipeline: int = 1, scheme: str | None = None) -> list[StageWeights]:
    model = known_model(name)
    quant = SCHEMES[scheme] if scheme else None
    assert model.architecture
    return stage_weights(model.tensors("bfloat16", quant), model.architecture, Parallel(tensor, pipeline), "bfloat16", quant)


def arch(name: str) -> Architecture:
    found = known_model(name).architecture
    assert found
    return found


@pytest.mark.parametrize("name", [LLAMA, "Qwen/Qwen3-30B-A3B", "google/gemma-2-9b-it", "deepseek-ai/DeepSeek-V2-Lite"])
@pytest.mark.parametrize("tensor", [2, 4])
def test_tensor_parallel_splits_all_but_what_each_rank_keeps(name: str, tensor: int) -> None:
    whole, part = stages(name)[0], stages(name, tensor)[0]
    assert whole.parameters / tensor <= part.parameters < whole.parameters / tensor * 1.02
    assert part.tables == whole.tables


def test_key_value_heads_are_copied_when_ranks_outnumber_them() -> None:
    """Qwen2.5-7B has 4 of them: on 28 ranks, each holds a whole one."""
    model = arch("Qwen/Qwen2.5-7B-Instruct")
    found = stages("Qwen/Qwen2.5-7B-Instruct", 28)[0].parameters * MIB
    even = stages("Qwen/Qwen2.5-7B-Instruct")[0].parameters * MIB / 28
    copies = model.layers * 2 * (1 / 4 - 1 / 28) * (4 * 128 * 3584 + 4 * 128) * 2
    norms = (2 * model.layers + 1) * 3584 * 2 * (1 - 1 / 28)
    padding = 2 * (math.ceil(152064 / math.lcm(64, 28)) * math.lcm(64, 28) - 152064) * 3584 * 2 / 28
    assert found == pytest.approx(even + copies + norms + padding, rel=1e-9)


def test_the_vocabulary_is_padded_to_whole_multiples() -> None:
    model = arch("ibm-granite/granite-3.1-8b-instruct")
    exact = sum(t.bytes for t in known_model("ibm-granite/granite-3.1-8b-instruct").tensors("bfloat16"))
    assert stages("ibm-granite/granite-3.1-8b-instruct")[0].parameters * MIB - exact == (49216 - 49155) * model.hidden * 2


def test_pipeline_stages_hold_all_layers_once() -> None:
    assert sum(stage.parameters for stage in stages(LLAMA, 1, 4)) == pytest.approx(stages(LLAMA)[0].parameters)
    assert [stage.layers for stage in stages(LLAMA, 1, 3)] == [11, 11, 10]


def test_tied_embeddings_stand_on_the_first_and_the_last_stage() -> None:
    tied = "google/gemma-2-9b-it"
    extra = sum(stage.parameters for stage in stages(tied, 1, 2)) - stages(tied)[0].parameters
    assert extra * MIB == pytest.approx(256_000 * 3584 * 2)


@given(layers=st.integers(1, 200), pipeline=st.integers(1, 200))
def test_layers_are_split_evenly(layers: int, pipeline: int) -> None:
    pipeline = min(layers, pipeline)
    counts = layer_split(layers, pipeline)
    assert sum(counts) == layers
    assert max(counts) - min(counts) <= 1
    assert counts[-1] == min(counts)


@pytest.mark.parametrize(("tensor", "pipeline"), [(3, 1), (5, 1), (1, 33), (64, 1)])
def test_a_split_that_engines_refuse_is_refused(tensor: int, pipeline: int) -> None:
    with pytest.raises(InputError, match="parallel"):
        stages(LLAMA, tensor, pipeline)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, 10**9])
def test_a_parallel_size_that_is_none_is_refused(size: int) -> None:
    with pytest.raises(InputError, match="tensor parallel size"):
        Parallel(size)


@given(st.integers(0, 2**34))
def test_the_allocator_adds_at_most_a_mebibyte(size: int) -> None:
    assert size <= allocated(size) <= size + MIB + 512


def test_the_allocator_splits_off_what_exceeds_a_mebibyte() -> None:
    assert allocated(31.5 * MIB) == 32 * MIB
    assert allocated(24.5 * MIB) == 24.5 * MIB
    assert allocated(259 * MIB) == 260 * MIB


@pytest.mark.parametrize(
    ("scheme", "bits"),
    [("fp8", 8), ("fp8-dynamic", 8), ("int8", 8), ("awq", 4 + 20 / 128), ("gptq", 4 + 16 / 128), ("w4a16", 4 + 16 / 128)],
)
def test_a_scheme_shrinks_linear_layers_and_nothing_else(scheme: str, bits: float) -> None:
    """Llama-3.1-8B: 32 layers of 218,103,808 linear weights; embedding and head stay in 16 bit."""
    saved = stages(LLAMA)[0].parameters - stages(LLAMA, scheme=scheme)[0].parameters
    linear = 32 * 218_103_808
    assert saved * MIB == pytest.approx(linear * (16 - bits) / 8, rel=1e-3)


def test_latent_attention_over_quantised_weights_keeps_a_copy_to_absorb() -> None:
    extra = stages("deepseek-ai/DeepSeek-V2-Lite", scheme="fp8")[0].tables - stages("deepseek-ai/DeepSeek-V2-Lite")[0].tables
    assert extra * MIB == 27 * 2 * 512 * 16 * (128 + 128)


@pytest.mark.parametrize(
    ("quant", "name", "bits", "group"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, "awq", 4, 64),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "gptq", 8, 0),
        ({"quant_method": "fp8"}, "fp8", 8, None),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8-block", 8, 128),
        ({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "group_size": 32}}}}, "w4a16", 4, 32),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}}},
            "fp8-dynamic",
            8,
            0,
        ),
    ],
)
def test_a_configs_quantisation_is_understood(quant: dict[str, object], name: str, bits: int, group: int | None) -> None:
    found = scheme_of_config({"quantization_config": quant}, "config.json")
    assert found and (found.name, found.bits, found.group) == (name, bits, group)


@pytest.mark.parametrize(
    "quant",
    [
        {"quant_method": "novel"},
        {"quant_method": "awq", "bits": 3},
        {"quant_method": "gptq", "group_size": 0},
        {"quant_method": "compressed-tensors"},
    ],
)
def test_an_unknown_quantisation_is_refused_and_not_guessed(quant: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        scheme_of_config({"quantization_config": quant}, "config.json")


def test_dtypes_have_one_spelling() -> None:
    assert {dtype_name(text) for text in ("BF16", "torch.bfloat16", "bf16")} == {"bfloat16"}
    with pytest.raises(InputError, match="unknown dtype"):
        dtype_name("bfloat17")
