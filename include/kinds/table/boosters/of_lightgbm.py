"""LightGBM's trees, out of its own JSON: only those that its estimator predicts with, splits with categories too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from include.kinds.table.boosters.trees import Boosted, Link, Trees, Unexportable

LINKS = {
    "binary": Link.SIGMOID,
    "cross_entropy": Link.SIGMOID,
    "cross_entropy_lambda": Link.LOG1P_EXP,
    "multiclass": Link.SOFTMAX,
    "multiclassova": Link.SIGMOID,
    "poisson": Link.EXP,
    "gamma": Link.EXP,
    "tweedie": Link.EXP,
    "regression": Link.IDENTITY,
    "regression_l1": Link.IDENTITY,
    "huber": Link.IDENTITY,
    "fair": Link.IDENTITY,
    "quantile": Link.IDENTITY,
    "mape": Link.IDENTITY,
}
"""Objective → what its prediction does to the sum of leaves (LightGBM's ``ConvertOutput``)."""
LARGEST = 1e300
"""What LightGBM writes in place of infinity."""


def read(model: Any) -> Boosted:
    """The fitted LightGBM estimator ``model``. Unexportable names what ONNX's trees can't say."""
    dump = model.booster_.dump_model(num_iteration=model.best_iteration_ or -1)
    objective, *settings = str(dump.get("objective") or "custom").split()
    if callable(model.objective) or objective not in LINKS:
        name = "an objective of your own" if callable(model.objective) else f"objective {objective}"
        raise Unexportable(f"what {name} makes of the sum of trees is not known here", f"Use one of {', '.join(sorted(LINKS))}")
    link = Link.SIGNED_SQUARE if "sqrt" in settings else LINKS[objective]
    slope = next((float(one.partition(":")[2]) for one in settings if one.startswith("sigmoid:")), 1.0)
    targets = dump["num_tree_per_iteration"]
    rounds = max(1, len(dump["tree_info"]) // targets)
    found = _Reader(1 / rounds if dump.get("average_output") else 1.0)
    for number, tree in enumerate(dump["tree_info"]):
        found.add(number, tree["tree_structure"], number % targets)
    if both := found.zeros_missing & found.zeros_kept:
        raise Unexportable(f"0 is missing in some trees and not in others (column {min(both)})", "Leave `zero_as_missing` out")
    return Boosted(
        found.trees,
        (0.0,) * targets,
        link,
        slope,
        zeros_missing=frozenset(found.zeros_missing),
        categories=frozenset(found.categories),
    )


class _Reader:
    """Reads tree after tree; ``share`` is what a leaf's value is multiplied with."""

    def __init__(self, share: float) -> None:
        self.trees = Trees()
        self.categories: set[int] = set()
        self.zeros_missing: set[int] = set()
        self.zeros_kept: set[int] = set()
        self._share = share

    def add(self, number: int, root: dict[str, Any], target: int) -> None:
        """Add a tree whose leaves count for ``target``."""
        numbers: Iterator[int] = itertools.count()
        waiting = [(next(numbers), root)]
        while waiting:
            node, own = waiting.pop()
            if "split_feature" not in own:
                if own.get("leaf_coeff"):
                    raise Unexportable("`linear_tree` has linear models as leaves", "Leave `linear_tree` out")
                self.trees.leaf(number, node, {target: own["leaf_value"] * self._share})
                continue
            left, right = next(numbers), next(numbers)
            waiting += [(left, own["left_child"]), (right, own["right_child"])]
            self._split(number, numbers, node, own, (left, right))

    def _split(self, number: int, numbers: Iterator[int], node: int, own: dict[str, Any], branches: tuple[int, int]) -> None:
        feature = own["split_feature"]
        if own["decision_type"] == "==":
            self.categories.add(feature)
            values = [float(value) for value in own["threshold"].split("||")]
            self.trees.member(number, numbers, node, feature, values, branches, missing_is_true=False)
            return
        threshold, kind = float(own["threshold"]), own["missing_type"]
        (self.zeros_missing if kind == "Zero" else self.zeros_kept).add(feature)
        # Where no number was missing in training, a missing one is taken for 0.
        goes_left = threshold >= 0 if kind == "None" else own["default_left"]
        limit = float("inf") if threshold >= LARGEST else threshold
        self.trees.split(number, node, feature, "BRANCH_LEQ", limit, branches, missing_is_true=bool(goes_left))
