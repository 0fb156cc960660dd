"""Checkpoints of which a part stays in 16 bits, and the schemes by which the rest is kept."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import InputError
from include.estimate.architecture import architecture
from include.estimate.model import known_model
from include.estimate.quantisation import SCHEMES, Scheme, scheme_of_config, split_suffix
from include.estimate.tensors import tensors_of, touches

CONFIG: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 4, "num_hidden_layers": 4,
    "intermediate_size": 512, "vocab_size": 1000, "max_position_embeddings": 512,
}  # fmt: skip


def scheme(**quant: Any) -> Scheme:
    found = scheme_of_config({"quantization_config": quant}, "config.json")
    assert found
    return found


def kept_whole(found: Scheme) -> set[str]:
    """Modules of the layers that the scheme leaves in 16 bits."""
    names = [t.name for t in tensors_of(architecture(CONFIG, name="m"), "bfloat16") if len(t.shape) == 2 and ".layers." in t.name]
    return {name.removesuffix(".weight") for name in names if not touches(found, name, (8, 8))}


@pytest.mark.parametrize(
    ("quant", "whole"),
    [
        ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["model.layers.0.mlp.down_proj", "lm_head"]}, {"layers.0.mlp.down_proj"}),
        ({"quant_method": "awq", "bits": 4, "modules_to_not_convert": ["k_proj"]}, {f"layers.{n}.self_attn.k_proj" for n in range(4)}),
        ({"quant_method": "fp8", "ignored_layers": ["model.layers.1.mlp.gate"]}, set()),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": ["layers.3.mlp"]},
         {f"layers.3.mlp.{part}_proj" for part in ("gate", "up", "down")}),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"-:.*v_proj": {}, "+:.*o_proj": {"bits": 8}}},
         {f"layers.{n}.self_attn.v_proj" for n in range(4)}),
        ({"quant_method": "compressed-tensors", "ignore": ["re:.*self_attn.*", "lm_head"],
          "config_groups": {"a": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 64}}}},
         {f"layers.{n}.self_attn.{part}_proj" for n in range(4) for part in "qkvo"}),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"targets": ["re:.*mlp.*"], "weights": {"num_bits": 8}}}},
         {f"layers.{n}.self_attn.{part}_proj" for n in range(4) for part in "qkvo"}),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["model.layers.2"]},
         {f"layers.2.{part}_proj" for part in (*(f"self_attn.{one}" for one in "qkvo"), "mlp.gate", "mlp.up", "mlp.down")}),
    ],
)  # fmt: skip
def test_what_a_config_leaves_alone_stays_whole(quant: dict[str, Any], whole: set[str]) -> None:
    assert kept_whole(scheme(**quant)) == {f"model.{name}" for name in whole}


def test_a_group_for_named_modules_comes_before_that_for_all() -> None:
    groups = {
        "all": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128}},
        "few": {"targets": ["re:.*down_proj"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}},
    }
    found = scheme(quant_method="compressed-tensors", config_groups=groups)
    bits = [one.bits for name in ("up_proj", "down_proj") if (one := found.of(f"model.layers.0.mlp.{name}"))]
    assert bits == [4, 8]


@pytest.mark.parametrize(
    ("name", "bits_each"),
    [("bitsandbytes", 4 + 8 * (1 + 4 / 256) / 64), ("nvfp4", 4 + 8 / 16), ("fbgemm_fp8", 8 + 32 / 4096), ("awq", 4 + (16 + 4) / 128)],
)
def test_scales_count(name: str, bits_each: float) -> None:
    assert SCHEMES[name].matrix_bytes(1024, 4096) * 8 == pytest.approx(bits_each * 1024 * 4096)


@pytest.mark.parametrize(
    ("quant", "bits"),
    [
        ({"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, 4 + 8 * (1 + 4 / 256) / 64),
        ({"load_in_4bit": True}, 4 + 32 / 64),
        ({"load_in_8bit": True}, 8 + 32 / 4096),
    ],
)
def test_bitsandbytes_is_read_with_its_blocks(quant: dict[str, Any], bits: float) -> None:
    assert scheme(quant_method="bitsandbytes", **quant).matrix_bytes(64, 4096) * 8 == pytest.approx(bits * 64 * 4096)


@pytest.mark.parametrize(
    "quant",
    [
        {"quant_method": "fp8", "ignored_layers": "lm_head"},
        {"quant_method": "fp8", "ignored_layers": [3]},
        {"quant_method": "fp8", "ignored_layers": ["re:("]},
        {"quant_method": "fp8", "ignored_layers": ["re:(a+)+b"]},
        {"quant_method": "fp8", "ignored_layers": ["re:(a|a)*b"]},
        {"quant_method": "compressed-tensors", "config_groups": {"a": {"targets": "Linear", "weights": {"num_bits": 8}}}},
        {"quant_method": "novel"},
    ],
)
def test_a_list_that_is_none_is_refused_by_name(quant: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        scheme_of_config({"quantization_config": quant}, "config.json")


def test_a_known_checkpoints_own_config_wins_over_its_suffix() -> None:
    found = known_model("meta-llama/Llama-3.1-405B-Instruct-FP8").scheme
    assert found and found.name == "fbgemm_fp8" and found.of("model.layers.0.mlp.up_proj") is None
    assert found.of("model.layers.1.self_attn.q_proj") is None and found.of("model.layers.1.mlp.up_proj") is found
    assert split_suffix("unsloth/Qwen2.5-7B-Instruct-bnb-4bit")[1] is SCHEMES["bitsandbytes"]
