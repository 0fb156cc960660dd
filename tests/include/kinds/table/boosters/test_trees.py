"""Trees in the words of ONNX: thresholds that 32 bits don't hold, and splits by category."""

import itertools

import numpy as np

from include.kinds.table.boosters.trees import Trees


def test_a_threshold_of_64_bits_parts_numbers_of_32_bits_as_it_did() -> None:
    exact = [0.1, -0.1, 1e-40, 3.5, float("inf"), 16777217.0]
    trees = Trees()
    for node, value in enumerate(exact):
        trees.split(0, node, 0, "BRANCH_LEQ", value, (1, 2), missing_is_true=False)
    narrow = trees.attributes(wide=False)["nodes_values"]
    for value, threshold in zip(exact, narrow, strict=True):
        around = np.float32(value)
        for number in (around, np.nextafter(around, np.float32("-inf")), np.nextafter(around, np.float32("inf"))):
            assert (number <= np.float32(threshold)) == (np.float64(number) <= value), (value, number)


def test_a_border_that_is_passed_from_above_is_no_threshold_to_round_down() -> None:
    trees = Trees()
    trees.split(0, 0, 0, "BRANCH_LT", 0.1, (1, 2), missing_is_true=True)
    found = trees.attributes(wide=False)
    assert found["nodes_values"] == [float(np.float32(0.1))] and found["nodes_missing_value_tracks_true"] == [1]


def test_64_bits_stay() -> None:
    trees = Trees()
    trees.split(0, 0, 3, "BRANCH_LEQ", 0.1, (1, 2), missing_is_true=False)
    trees.leaf(0, 1, {0: 0.1, 1: 0.2})
    found = trees.attributes(wide=True)
    assert found["nodes_values"].dtype == np.float64 and found["target_weights"].tolist() == [0.1, 0.2]
    assert found["nodes_modes"] == ["BRANCH_LEQ", "LEAF"] and found["target_ids"] == [0, 1]


def test_a_set_of_categories_is_a_chain_that_a_missing_one_passes_or_leaves_at_once() -> None:
    trees = Trees()
    trees.member(0, itertools.count(3), 0, 5, [2, 4, 9], (1, 2), missing_is_true=False)
    found = trees.attributes(wide=False)
    assert found["nodes_modes"] == ["BRANCH_EQ"] * 3 and found["nodes_nodeids"] == [0, 3, 4]
    assert found["nodes_truenodeids"] == [1, 1, 1] and found["nodes_falsenodeids"] == [3, 4, 2]
    assert found["nodes_missing_value_tracks_true"] == [0, 0, 0]
