"""Vision towers and linear attention: parameters as the models' cards and checkpoints have them."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import InputError
from include.estimate.architecture import architecture
from include.estimate.model import known_model
from include.estimate.tensors import tensors_of

TEXT: dict[str, Any] = {
    "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 100,
    "max_position_embeddings": 128,
}  # fmt: skip


def params(name: str, *, of: str = "") -> int:
    arch = known_model(name).architecture
    assert arch
    return sum(tensor.params for tensor in tensors_of(arch, "bfloat16") if of in tensor.name)


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("llava-hf/llava-v1.6-mistral-7b-hf", 7.566e9),  # its card; the last of CLIP's layers (12.6 million) is not loaded
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8.292e9),
        ("Qwen/Qwen3-VL-2B-Instruct", 2.127e9),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 79.67e9),
    ],
)
def test_all_parameters_are_counted(name: str, total: float) -> None:
    assert params(name) == pytest.approx(total, rel=0.004)


def test_siglip_and_its_projector_have_gemma_3s_number() -> None:
    """The published total less the decoder's: 423,060,336 for 27B."""
    config = {
        "model_type": "gemma3", "text_config": {**TEXT, "hidden_size": 5376, "num_attention_heads": 32, "head_dim": 128},
        "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
                          "num_attention_heads": 16, "image_size": 896, "patch_size": 14},
    }  # fmt: skip
    found = tensors_of(architecture(config, name="m"), "bfloat16")
    assert sum(t.params for t in found if "vision" in t.name or "projector" in t.name) == pytest.approx(423_060_336, rel=0.001)


def test_a_tower_whose_sizes_the_config_leaves_out_is_marked_and_not_counted() -> None:
    found = architecture({"model_type": "gemma3", "text_config": TEXT, "vision_config": {}}, name="m")
    assert found.multimodal and found.vision is None


@pytest.mark.parametrize(
    "vision", [{"hidden_size": 0}, {"hidden_size": "x"}, {"hidden_size": 64, "num_hidden_layers": 10**9}, {"hidden_size": 64}]
)
def test_a_malformed_tower_is_refused_by_name(vision: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="vision_config"):
        architecture({"model_type": "gemma3", "text_config": TEXT, "vision_config": vision}, name="m")


def test_a_decoder_within_another_model_is_that_of_its_own_type() -> None:
    arch = known_model("llava-hf/llava-v1.6-mistral-7b-hf").architecture
    assert arch and (arch.family.name, arch.tied) == ("Mistral", False)
    granite = known_model("ibm-granite/granite-vision-3.3-2b").architecture
    assert granite and granite.tied


def test_positions_with_sections_have_a_table_four_times_as_long() -> None:
    plain = architecture({**TEXT, "model_type": "qwen2"}, name="m")
    sections = architecture({**TEXT, "model_type": "qwen2", "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}}, name="m")
    assert not plain.rotary_sections and sections.rotary_sections


def test_every_second_layer_of_maverick_has_experts() -> None:
    arch = known_model("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8").architecture
    assert arch and arch.experts
    assert [arch.experts.on(layer) for layer in range(4)] == [False, True, False, True]
    assert params("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8") == pytest.approx(401.6e9, rel=0.004)
