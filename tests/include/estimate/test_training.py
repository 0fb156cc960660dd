"""Training: weights, gradients, Adam, activations; full and LoRA."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.estimate.engines import gpu
from include.estimate.model import known_model
from include.estimate.quantisation import SCHEMES
from include.estimate.training import Method, Training, TrainingEstimate, estimate_training, fits_training
from include.estimate.weights import MIB
from include.verdict import Decision

LLAMA = known_model("meta-llama/Llama-3.1-8B-Instruct")
PARAMS = 8_030_261_248


def found(**changes: object) -> TrainingEstimate:
    return estimate_training(LLAMA, Training(**changes))  # type: ignore[arg-type]


def test_mixed_precision_takes_sixteen_bytes_a_parameter() -> None:
    """2 of weights, 2 of gradients, 12 of Adam (ZeRO, section 3.1); weights carry their position table besides."""
    full = found()
    assert full.gradients * MIB == 2 * PARAMS
    assert full.optimiser * MIB == 12 * PARAMS
    assert full.weights * MIB == pytest.approx(2 * PARAMS + 131_072 * 128 * 2)


def test_single_precision_takes_sixteen_too() -> None:
    full = found(dtype="float32")
    assert (full.gradients + full.optimiser) * MIB == 12 * PARAMS


def test_lora_trains_rank_times_both_sides_of_each_matrix() -> None:
    """Llama-3.1-8B, rank 16 on all seven: the 41,943,040 that PEFT prints."""
    assert found(method=Method.LORA, rank=16).gradients * MIB == 2 * 41_943_040


def test_lora_over_quantised_weights_needs_less_than_over_whole_ones() -> None:
    assert found(method=Method.LORA, scheme=SCHEMES["awq"]).total < found(method=Method.LORA).total < found().total


def test_a_quantised_checkpoint_is_not_trained_in_full() -> None:
    with pytest.raises(InputError, match="cannot be trained in full"):
        estimate_training(known_model("Qwen/Qwen2.5-7B-Instruct-AWQ"), Training())
    assert estimate_training(known_model("Qwen/Qwen2.5-7B-Instruct-AWQ"), Training(Method.LORA)).total > 0


@settings(deadline=None, max_examples=30)
@given(
    method=st.sampled_from(list(Method)), context=st.integers(1, 10_000), more=st.integers(0, 9_000), batch=st.integers(1, 32),
    checkpointing=st.booleans(), tensor=st.sampled_from([1, 2, 4]),
)  # fmt: skip
def test_need_adds_up_and_grows_with_context_and_batch(
    method: Method, context: int, more: int, batch: int, checkpointing: bool, tensor: int
) -> None:
    less = estimate_training(LLAMA, Training(method, context, batch, checkpointing, tensor=tensor))
    parts = (less.weights, less.adapters, less.gradients, less.optimiser, less.activations, less.logits, less.context)
    assert less.total == pytest.approx(sum(parts))
    assert estimate_training(LLAMA, Training(method, context + more, batch, checkpointing, tensor=tensor)).total >= less.total
    assert estimate_training(LLAMA, Training(method, context, batch + 1, checkpointing, tensor=tensor)).total > less.total


def test_checkpointing_keeps_less() -> None:
    assert found(checkpointing=True).activations < found(checkpointing=False).activations / 5


def test_a_verdict_names_figure_and_device() -> None:
    verdict = fits_training(LLAMA, gpu("H100"), Training())
    assert verdict.decision is Decision.FAIL
    assert "does not fit H100-80GB" in verdict.reasons[0]
    assert fits_training(LLAMA, gpu("H100"), Training(Method.LORA)).decision is Decision.PASS
