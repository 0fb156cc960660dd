"""The cache: bytes a token, blocks, windows."""

from __future__ import annotations

import pytest
from hypothesis import given
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


@given(context=st.integers(1, 200_000), more=st.integers(0, 50_000), requests=st.integers(1, 500))
@pytest.mark.parametrize("name", ["Llama-3.1-8B-Instruct", "gemma-2-9b-it", "DeepSeek-V2-Lite"])
def test_need_grows_with_context_and_is_proportional_to_requests(name: str, context: int, more: int, requests: int) -> None:
    found = cache(name)
    assert found.bytes_for(context + more) >= found.bytes_for(context) > 0
    assert found.bytes_for(context, requests) == requests * found.bytes_for(context)


@given(st.floats(-1e12, 1e12))
def test_a_pool_holds_whole_blocks_and_never_fewer_than_none(size: float) -> None:
    tokens = cache("Llama-3.1-8B-Instruct").tokens_in(size)
    assert tokens >= 0
    assert tokens % BLOCK_TOKENS == 0
    assert tokens * 131_072 <= max(0.0, size)
