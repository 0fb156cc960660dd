"""How sure an estimate is."""

from __future__ import annotations

import random

import pytest

from bench.estimator.rows import MEASURED, OLDER, PUBLIC, covered, judged, read_rows
from include.estimate.confidence import LEAST_ROWS, LEAST_SHARE, Residual, interval, residuals
from include.estimate.engines import gpu
from include.estimate.model import known_model
from include.estimate.serving import Serving, estimate, fits


def rows(count: int, spread: float, engine: str = "vllm 1", traits: tuple[str, ...] = ("plain",), seed: int = 0) -> list[Residual]:
    draw = random.Random(seed)
    return [Residual(f"m{n}", engine, frozenset(traits), draw.gauss(0, spread)) for n in range(count)]


def test_a_further_row_of_the_same_kind_lies_within_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(300):
        *known, new = rows(40, 0.05, seed=seed)
        found = interval("vllm 1", ["plain"], known)
        assert found
        inside += abs(new.error) <= found.share
    assert inside / 300 >= 0.87


def test_rows_like_it_count_and_others_do_not() -> None:
    known = rows(20, 0.02) + rows(20, 0.5, traits=("tensor parallel", "PCIe"))
    near, far = interval("vllm 1", ["plain"], known), interval("vllm 1", ["tensor parallel", "PCIe"], known)
    assert near and far and near.share < 0.1 < far.share


def test_nothing_is_said_where_nothing_like_it_was_measured() -> None:
    assert interval("vllm 1", ["plain"], rows(LEAST_ROWS - 1, 0.1)) is None
    assert interval("sglang 1", ["plain"], rows(30, 0.1)) is None
    assert any("not known" in why for why in fits(known_model("Qwen3-8B"), gpu("H100-80GB"), Serving(engine="sglang==0.5.1")).reasons)


def test_no_estimate_is_called_surer_than_two_starts_of_one_server() -> None:
    found = interval("vllm 1", ["plain"], rows(20, 1e-6))
    assert found and found.share == LEAST_SHARE


def test_the_ranges_hold_the_estimate_and_are_told() -> None:
    found = estimate(known_model("Qwen3-8B"), gpu("H100-80GB"), Serving())
    low, high = found.total_range or (0, 0)
    assert low < found.total < high
    least, most = found.kv_pool_range or (0, 0)
    assert least < found.kv_pool < most
    assert found.to_json()["total_range"] == (low, high)
    assert any("how sure: " in why and "measured rows" in why for why in fits(known_model("Qwen3-8B"), gpu("H100-80GB"), Serving()).reasons)


def test_the_table_is_what_the_measured_rows_give() -> None:
    """`python -m bench.estimator --residuals` writes it."""
    found = [one for table in (MEASURED, OLDER, PUBLIC) for row in read_rows(table)[0] if (one := judged(row).residual)]
    assert [(one.model, one.engine, one.traits) for one in residuals()] == [(one.model, one.engine, one.traits) for one in found]
    assert [one.error for one in residuals()] == pytest.approx([one.error for one in found], abs=1e-5)


def test_intervals_cover_the_rows_of_models_left_out() -> None:
    inside, asked = covered([judged(row) for table in (MEASURED, OLDER, PUBLIC) for row in read_rows(table)[0]])
    assert asked >= 35
    assert inside / asked >= 0.9
