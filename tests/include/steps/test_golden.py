from pathlib import Path

import pytest

from include.bundles.golden import Golden, Tolerance

INPUTS = ({"name": "input", "datatype": "FP32", "shape": [3, 1], "data": [1.0, 2.0, 3.0]},)


def classified(labels: list[int], probabilities: list[float], tolerance: float = 1e-3) -> Golden:
    outputs = (
        {"name": "label", "datatype": "INT64", "shape": [3, 1], "data": labels},
        {"name": "probabilities", "datatype": "FP32", "shape": [3, 2], "data": probabilities},
    )
    return Golden(INPUTS, outputs, Tolerance(tolerance), (0, 1))


REFERENCE = classified([0, 1, 0], [0.9, 0.1, 0.2, 0.8, 0.5001, 0.4999])


def test_the_same_answers_match_within_the_tolerance() -> None:
    near = classified([0, 1, 0], [0.9005, 0.0995, 0.2, 0.8, 0.5001, 0.4999])
    assert REFERENCE.mismatches(near.outputs) == []


def test_another_label_is_named_with_its_row() -> None:
    found = REFERENCE.mismatches(classified([0, 0, 0], [0.9, 0.1, 0.2, 0.8, 0.5001, 0.4999]).outputs)
    assert found == ["label: 1 of 3 values differ, first in row 1: 0 instead of 1"]


def test_a_tie_within_the_tolerance_may_fall_either_way() -> None:
    assert REFERENCE.mismatches(classified([0, 1, 1], [0.9, 0.1, 0.2, 0.8, 0.4999, 0.5001]).outputs) == []


def test_a_probability_beyond_the_tolerance_is_named_with_its_row() -> None:
    found = REFERENCE.mismatches(classified([0, 1, 0], [0.9, 0.1, 0.21, 0.79, 0.5001, 0.4999]).outputs)
    assert len(found) == 1 and found[0].startswith("probabilities: 2 of 6 values differ, first in row 1: 0.21")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_never_matches(value: float) -> None:
    assert REFERENCE.mismatches(classified([0, 1, 0], [value, 0.1, 0.2, 0.8, 0.5001, 0.4999]).outputs)


def test_a_missing_output_and_a_missing_row_are_named() -> None:
    assert REFERENCE.mismatches(REFERENCE.outputs[1:]) == ["label: missing"]
    short = ({"name": "label", "datatype": "INT64", "shape": [2, 1], "data": [0, 1]}, REFERENCE.outputs[1])
    assert REFERENCE.mismatches(short) == ["label: 2 values instead of 3"]


def test_it_survives_its_file(tmp_path: Path) -> None:
    REFERENCE.save(tmp_path / "golden.json")
    assert Golden.read(tmp_path / "golden.json") == REFERENCE and REFERENCE.rows == 3
