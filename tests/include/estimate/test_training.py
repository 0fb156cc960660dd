"""Training: weights, gradients, Adam, activations; full and LoRA."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.estimate.engines import gpu
from include.estimate.model import known_model
from include.estimate.quantisation import SCHEMES
from include.estimate.training import Method, Optimiser, Precision, Training, TrainingEstimate, estimate_training, fits_training
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


@pytest.mark.parametrize(
    ("precision", "optimiser", "dtype", "each"),
    [
        (Precision.MIXED, Optimiser.ADAM, "bfloat16", 12),
        (Precision.PURE, Optimiser.ADAM, "bfloat16", 4),
        (Precision.PURE, Optimiser.ADAM, "float32", 8),
        (Precision.MIXED, Optimiser.ADAM_8BIT, "bfloat16", 4 + 2 * (1 + 4 / 256)),
        (Precision.PURE, Optimiser.ADAM_8BIT, "bfloat16", 2 * (1 + 4 / 256)),
        (Precision.PURE, Optimiser.PAGED_ADAM, "bfloat16", 0),
        (Precision.PURE, Optimiser.SGD, "bfloat16", 0),
        (Precision.MIXED, Optimiser.ADAFACTOR, "bfloat16", 4),
    ],
)
def test_the_optimisers_state_is_by_its_kind_and_precision(precision: Precision, optimiser: Optimiser, dtype: str, each: float) -> None:
    assert found(precision=precision, optimiser=optimiser, dtype=dtype).optimiser * MIB == pytest.approx(each * PARAMS)


def test_each_stage_of_zero_shares_more() -> None:
    """ZeRO, section 5: of 16 bytes a parameter, stage 1 shares 12, 2 shares 14, 3 all."""
    alone = found()
    one, two, three = (found(shards=8, stage=stage) for stage in (1, 2, 3))
    assert (one.weights, one.gradients, one.optimiser) == (alone.weights, alone.gradients, alone.optimiser / 8)
    assert (two.weights, two.optimiser) == (one.weights, one.optimiser)
    assert two.gradients == pytest.approx(alone.gradients * (1 / 8 + 1 / 32))
    assert three.weights == pytest.approx(alone.weights * (1 / 8 + 2 / 32))
    assert alone.total > one.total > two.total > three.total


def test_a_step_within_the_backward_pass_keeps_one_layers_gradients() -> None:
    """torchtune's 7B_full_single_device_low_memory (bf16, paged Adam, fused step, batches of 2): 15.97 GB reserved at the peak."""
    model = known_model("meta-llama/Llama-2-7b-hf")
    training = Training(context=1024, batch=2, precision=Precision.PURE, optimiser=Optimiser.PAGED_ADAM, fused_step=True)
    assert estimate_training(model, training).total * MIB / 1e9 == pytest.approx(15.97, rel=0.05)


@pytest.mark.parametrize("change", [{"shards": 0}, {"stage": 4}, {"stage": 0}, {"shards": 1.5}])
def test_an_impossible_sharding_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="training"):
        found(**change)
