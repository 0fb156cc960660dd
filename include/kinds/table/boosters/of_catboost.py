"""CatBoost's trees, out of its own JSON: symmetric ones, written out node by node, and others."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from include.kinds.table.boosters.trees import Boosted, Link, Trees, Unexportable

LINKS = {
    "Logloss": Link.SIGMOID,
    "CrossEntropy": Link.SIGMOID,
    "MultiClass": Link.SOFTMAX,
    "MultiClassOneVsAll": Link.SIGMOID,
    "Poisson": Link.EXP,
    "Tweedie": Link.EXP,
    "RMSE": Link.IDENTITY,
    "MAE": Link.IDENTITY,
    "Quantile": Link.IDENTITY,
    "LogLinQuantile": Link.IDENTITY,
    "Expectile": Link.IDENTITY,
    "MAPE": Link.IDENTITY,
    "Lq": Link.IDENTITY,
    "Huber": Link.IDENTITY,
    "LogCosh": Link.IDENTITY,
}
"""Loss → what ``predict`` (of a classifier: ``predict_proba``) does to the sum of leaves."""
ENCODE = "Encode these columns before it (OrdinalEncoder, OneHotEncoder or TargetEncoder in a ColumnTransformer), without `cat_features`"


def read(model: Any) -> Boosted:
    """The fitted CatBoost estimator ``model``. Unexportable names what ONNX's trees can't say."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        dump = json.loads(path.read_text())
    info = dump["features_info"]
    for kind, word in (("categorical_features", "categories"), ("text_features", "texts"), ("embedding_features", "embeddings")):
        if info.get(kind):
            name = info[kind][0].get("feature_id") or info[kind][0].get("flat_feature_index")
            raise Unexportable(f"its own encoding of {word} (column {name!r}) has no form in ONNX", ENCODE)
    loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
    if loss not in LINKS:
        raise Unexportable(
            f"what loss {loss or 'of your own'} makes of the sum of trees is not known here", f"Use one of {', '.join(sorted(LINKS))}"
        )
    scale, base = dump["scale_and_bias"]
    features = {one["feature_index"]: one for one in info["float_features"]}
    found = _Reader(features, float(scale), len(base))
    for number, tree in enumerate(dump.get("oblivious_trees") or []):
        found.symmetric(number, tree)
    for number, tree in enumerate(dump.get("trees") or []):
        found.other(number, tree)
    threshold = getattr(model, "get_probability_threshold", lambda: None)()
    return Boosted(
        found.trees,
        tuple(float(value) for value in base),
        LINKS[loss],
        threshold=0.5 if threshold is None else float(threshold),
        narrow=True,
    )


class _Reader:
    """Reads tree after tree; ``scale`` is what a leaf's values are multiplied with, ``targets`` how many it has."""

    def __init__(self, features: dict[int, Any], scale: float, targets: int) -> None:
        self.trees = Trees()
        self._features, self._scale, self._targets = features, scale, targets

    def symmetric(self, number: int, tree: dict[str, Any]) -> None:
        """A tree whose every level splits alike: the split at ``splits[i]`` is bit i of a leaf's place."""
        splits, values = tree.get("splits") or [], tree["leaf_values"]
        depth = len(splits)
        for level in range(depth):
            for place in range(2**level):
                node = 2**level - 1 + place
                below = 2 * node + 1
                self._split(number, node, splits[level], (below + 1, below))
        for path in range(2**depth):
            place = int(format(path, f"0{depth}b")[::-1], 2) if depth else 0
            self._leaf(number, 2**depth - 1 + path, values[place * self._targets : (place + 1) * self._targets])

    def other(self, number: int, root: dict[str, Any]) -> None:
        """A tree that grew leaf by leaf or level by level."""
        numbers = itertools.count()
        waiting = [(next(numbers), root)]
        while waiting:
            node, own = waiting.pop()
            if "split" not in own:
                value = own["value"]
                self._leaf(number, node, value if isinstance(value, list) else [value])
                continue
            left, right = next(numbers), next(numbers)
            waiting += [(left, own["left"]), (right, own["right"])]
            self._split(number, node, own["split"], (right, left))

    def _split(self, number: int, node: int, split: dict[str, Any], branches: tuple[int, int]) -> None:
        """``branches``: where a number goes that is above the border, and one that isn't."""
        feature = self._features[split["float_feature_index"]]
        above = feature["nan_value_treatment"] == "AsTrue"
        place = feature["flat_feature_index"]
        self.trees.split(number, node, place, "BRANCH_GT", split["border"], branches, missing_is_true=above)

    def _leaf(self, number: int, node: int, values: list[float]) -> None:
        self.trees.leaf(number, node, {target: value * self._scale for target, value in enumerate(values)})
