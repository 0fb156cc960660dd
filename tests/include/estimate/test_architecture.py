"""config.json: what is read, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.estimate.architecture import architecture
from include.estimate.engines import gpu
from include.estimate.model import Model, known_model, known_names
from include.estimate.quantisation import scheme_of_config
from include.estimate.serving import Serving, estimate

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "intermediate_size": 128, "vocab_size": 1000, "max_position_embeddings": 512, "torch_dtype": "bfloat16",
}  # fmt: skip
# Parameters as Hugging Face lists them for each checkpoint's safetensors.
PUBLISHED = {
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.3-70B-Instruct": 70_553_706_496,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-72B-Instruct": 72_706_203_648,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-3-1b-it": 999_885_952,
    "google/gemma-7b": 8_537_680_896,
    "microsoft/phi-2": 2_779_683_840,
    "microsoft/phi-4": 14_659_507_200,
    "ibm-granite/granite-3.1-8b-instruct": 8_170_848_256,
    "deepseek-ai/DeepSeek-V2-Lite": 15_706_484_224,
    "deepseek-ai/DeepSeek-V3": 671_026_419_200,
}


@pytest.mark.parametrize(("name", "params"), PUBLISHED.items())
def test_a_known_model_has_its_published_parameters(name: str, params: int) -> None:
    assert sum(t.params for t in known_model(name).tensors("bfloat16")) == params


def test_every_known_name_is_read() -> None:
    assert all(known_model(name).architecture for name in known_names())


def test_a_name_needs_no_organisation_and_no_exact_case() -> None:
    short, full = known_model("llama-3.1-8b-instruct"), known_model("meta-llama/Llama-3.1-8B-Instruct")
    assert short.tensors() == full.tensors()


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "fp8-dynamic"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "w4a16"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8", "int8"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "awq"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "gptq"),
        ("openai/gpt-oss-20b", "mxfp4"),
    ],
)
def test_a_quantised_checkpoints_name_tells_its_scheme(name: str, scheme: str) -> None:
    found = known_model(name).scheme
    assert found and found.name == scheme


def test_an_unknown_name_is_refused_with_what_to_give() -> None:
    with pytest.raises(InputError, match=r"neither a folder, a file nor a known model.*config\.json"):
        known_model("nobody/nothing-7b")


@pytest.mark.parametrize("value", [0, -1, 1.5, "64", True, 10**10, [64], {}])
@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads"])
def test_a_bad_field_is_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"config.json: {name}"):
        architecture({**LLAMA, name: value}, name="m")


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads"])
def test_an_absent_field_is_named(name: str) -> None:
    with pytest.raises(InputError, match=name):
        architecture({k: v for k, v in LLAMA.items() if k != name}, name="m")


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InputError, match="num_key_value_heads 3"):
        architecture({**LLAMA, "num_key_value_heads": 3}, name="m")
    with pytest.raises(InputError, match="head_dim"):
        architecture({**LLAMA, "num_attention_heads": 7, "num_key_value_heads": 7}, name="m")


@settings(deadline=None, max_examples=300)
@given(
    field=st.sampled_from([*LLAMA, "head_dim", "tie_word_embeddings", "sliding_window", "layer_types", "num_experts", "kv_lora_rank",
                           "partial_rotary_factor", "text_config", "quantization_config", "rope_scaling"]),
    value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)),
)  # fmt: skip
def test_any_value_of_a_field_gives_an_architecture_or_a_refusal(field: str, value: object) -> None:
    config = {**LLAMA, field: value}
    try:
        model = Model("m", "config.json", architecture(config, name="m"), scheme=scheme_of_config(config, "config.json"))
        assert estimate(model, gpu("H100"), Serving()).total > 0
    except InputError as error:
        assert str(error)


def test_a_multimodal_models_decoder_is_its_text_config() -> None:
    outer = {"model_type": "gemma3", "vision_config": {}, "text_config": {**LLAMA, "model_type": "gemma3_text"}}
    found = architecture(outer, name="m")
    assert (found.family.name, found.hidden, found.multimodal) == ("Gemma3", 64, True)


def test_an_unknown_model_type_is_read_and_marked() -> None:
    assert not architecture({**LLAMA, "model_type": "novel"}, name="m").known_family


@pytest.mark.parametrize(
    ("extra", "windowed"),
    [
        ({"sliding_window": 256}, 2),
        ({"sliding_window": 256, "use_sliding_window": False}, 0),
        ({"sliding_window": None}, 0),
        ({"sliding_window": 256, "layer_types": ["full_attention", "sliding_attention"]}, 1),
        ({"sliding_window": 256, "model_type": "gemma2"}, 1),
    ],
)
def test_windowed_layers_follow_the_config_then_the_family(extra: dict[str, Any], windowed: int) -> None:
    assert architecture({**LLAMA, **extra}, name="m").windowed_layers == windowed
