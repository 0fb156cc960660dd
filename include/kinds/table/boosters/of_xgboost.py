"""XGBoost's trees, out of its own JSON: only those that its estimator predicts with, splits with categories too."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

from include.kinds.table.boosters.trees import Boosted, Link, Trees, Unexportable

LINKS = {
    "binary:logistic": Link.SIGMOID,
    "reg:logistic": Link.SIGMOID,
    "binary:hinge": Link.STEP,
    "multi:softprob": Link.SOFTMAX,
    "multi:softmax": Link.SOFTMAX,
    "count:poisson": Link.EXP,
    "reg:gamma": Link.EXP,
    "reg:tweedie": Link.EXP,
    "reg:squarederror": Link.IDENTITY,
    "reg:squaredlogerror": Link.IDENTITY,
    "reg:absoluteerror": Link.IDENTITY,
    "reg:pseudohubererror": Link.IDENTITY,
    "reg:quantileerror": Link.IDENTITY,
}
"""Objective → what its prediction does to the sum of leaves (XGBoost's ``PredTransform``)."""


def read(model: Any) -> Boosted:
    """The fitted XGBoost estimator ``model``. Unexportable names what ONNX's trees can't say."""
    learner = json.loads(bytes(model.get_booster().save_raw("json")))["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if kind == "gblinear":
        raise Unexportable("booster gblinear has no trees", "Use a linear model of scikit-learn, or `booster='gbtree'`")
    if callable(model.objective) or objective not in LINKS:
        name = "an objective of your own" if callable(model.objective) else f"objective {objective}"
        raise Unexportable(f"what {name} makes of the sum of trees is not known here", f"Use one of {', '.join(sorted(LINKS))}")
    booster = learner["gradient_booster"]
    inner = booster["gbtree"]["model"] if kind == "dart" else booster["model"]
    weights = booster.get("weight_drop") or [1.0] * len(inner["trees"])
    best = model.get_booster().attr("best_iteration")
    count = inner["iteration_indptr"][int(best) + 1] if best is not None else len(inner["trees"])
    trees, categories = Trees(), set()
    for number, tree in enumerate(inner["trees"][:count]):
        if int(tree["tree_param"]["size_leaf_vector"] or 0) > 1:
            raise Unexportable("trees with vectors as leaves are not known here", "Use `multi_strategy='one_output_per_tree'`")
        categories |= _tree(trees, number, tree, inner["tree_info"][number], float(weights[number]))
    base = _base(learner["learner_model_param"], LINKS[objective])
    return Boosted(trees, base, LINKS[objective], missing=float(model.missing), categories=frozenset(categories), narrow=True)


def _base(param: dict[str, str], link: Link) -> tuple[float, ...]:
    """What is added to the sum of leaves: XGBoost keeps it as a prediction."""
    said = json.loads(param["base_score"]) if param["base_score"].startswith("[") else [float(param["base_score"])]
    targets = max(int(param["num_class"]), int(param["num_target"]), 1)
    values = [float(value) for value in said] * (targets if len(said) == 1 else 1)
    if link is Link.SIGMOID:
        return tuple(math.log(value / (1 - value)) for value in values)
    return tuple(math.log(value) for value in values) if link is Link.EXP else tuple(values)


def _tree(trees: Trees, number: int, tree: dict[str, Any], target: int, weight: float) -> set[int]:
    """Add a tree; returns the columns that it splits by category. A category in a node's set goes right."""
    left, right, features, kinds = (tree[key] for key in ("left_children", "right_children", "split_indices", "split_type"))
    further = itertools.count(len(left))
    sets = {
        node: tree["categories"][start : start + size]
        for node, start, size in zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    }
    found = set()
    for node, value in enumerate(tree["split_conditions"]):
        if left[node] == -1:
            trees.leaf(number, node, {target: value * weight})
        elif kinds[node] == 0:
            branches = (left[node], right[node])
            trees.split(number, node, features[node], "BRANCH_LT", value, branches, missing_is_true=bool(tree["default_left"][node]))
        else:
            found.add(features[node])
            branches = (right[node], left[node])
            missing = not tree["default_left"][node]
            trees.member(number, further, node, features[node], sets[node], branches, missing_is_true=missing)
    return found
