"""The cache: bytes a token, blocks, windows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.estimate.kv_cache import BLOCK_TOKENS, KvCache, kv_cache
from include.estimate.model import known_model


def cache(name: str, kv_dtype: str = "bfloat16", tensor: int = 1) -> KvCache:
    arch = known_model(name).architecture
    assert arch
    return kv_cache(arch, kv_dtype, tensor, arch.layers, 8192)


@pytest.mark.parametrize(
    ("name", "kv_dtype", "tensor", "size"),
    [
        ("Llama-3.1-8B-Instruct", "bfloat16", 1, 131_072),
        ("Llama-3.1-8B-Instruct", "fp8", 1, 65_536),
        ("Llama-3.1-8B-Instruct", "bfloat16", 8, 16_384),
        ("Llama-3.1-8B-Instruct", "bfloat16", 16, 16_384),
        ("Qwen2.5-7B-Instruct", "bfloat16", 1, 57_344),
        ("DeepSeek-V3", "bfloat16", 1, 61 * 576 * 2),
        ("DeepSeek-V3", "bfloat16", 8, 61 * 576 * 2),
        ("gemma-2b", "bfloat16", 4, 18 * 2 * 256 * 2),
    ],
)
def test_bytes_of_a_token(name: str, kv_dtype: str, tensor: int, size: int) -> None:
    assert cache(name, kv_dtype, tensor).bytes_per_token == size


def test_a_token_more_than_a_block_takes_another_block() -> None:
    found = cache("Llama-3.1-8B-Instruct")
    assert found.bytes_for(BLOCK_TOKENS) == BLOCK_TOKENS * 131_072
    assert found.bytes_for(BLOCK_TOKENS + 1) == 2 * BLOCK_TOKENS * 131_072


def test_windowed_layers_stop_growing_past_window_and_chunk() -> None:
    found = cache("gemma-3-27b-it")
    assert (found.full_layers, found.windowed_layers, found.window) == (10, 52, 1024)
    grown = found.bytes_for(100_000) - found.bytes_for(50_000)
    assert grown == pytest.approx(found.layer_bytes * 10 * 50_000, rel=1e-3)


@settings(deadline=None)
@given(context=st.integers(1, 200_000), more=st.integers(0, 50_000), requests=st.integers(1, 500))
@pytest.mark.parametrize("name", ["Llama-3.1-8B-Instruct", "gemma-2-9b-it", "DeepSeek-V2-Lite"])
def test_need_grows_with_context_and_is_proportional_to_requests(name: str, context: int, more: int, requests: int) -> None:
    found = cache(name)
    assert found.bytes_for(context + more) >= found.bytes_for(context) > 0
    assert found.bytes_for(context, requests) == requests * found.bytes_for(context)


@settings(deadline=None)
@given(st.floats(-1e12, 1e12))
def test_a_pool_holds_whole_blocks_and_never_fewer_than_none(size: float) -> None:
    tokens = cache("Llama-3.1-8B-Instruct").tokens_in(size)
    assert tokens >= 0
    assert tokens % BLOCK_TOKENS == 0
    assert tokens * 131_072 <= max(0.0, size)


@pytest.mark.parametrize(
    ("name", "tensor", "pool_gib", "tokens"),
    [
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 2, 44.59, 973_760),  # vLLM 0.10.2: 12 full layers, 36 linear, groups of 12, blocks of 544
        ("openai/gpt-oss-120b", 1, 5.38, 78_384),  # 18 full layers, 18 with windows
        ("Qwen/Qwen3-VL-2B-Instruct", 1, 8.13, 76_144),
    ],
)
def test_a_pool_holds_as_many_tokens_as_vllm_says(name: str, tensor: int, pool_gib: float, tokens: int) -> None:
    assert cache(name, tensor=tensor).tokens_in(pool_gib * 2**30) == pytest.approx(tokens, rel=1e-3)


def test_a_linear_layer_keeps_one_block_a_request_however_long() -> None:
    found = cache("Qwen/Qwen3-Next-80B-A3B-Instruct", tensor=2)
    assert (found.full_layers, found.linear_layers, found.block) == (12, 36, 544)
    assert found.bytes_for(544 * 10) - found.bytes_for(544) == 9 * 544 * 12 * found.layer_bytes
    assert found.bytes_for(544, 3) == 3 * 48 * 544 * found.layer_bytes


def test_layers_of_two_kinds_are_filled_up_to_whole_groups() -> None:
    """Gemma 3 27B: 10 full layers, so 52 with windows are kept as 60."""
    found = cache("gemma-3-27b-it")
    assert found.tokens_in(found.layer_bytes * 70 * 16 * 5) == 5 * 16
