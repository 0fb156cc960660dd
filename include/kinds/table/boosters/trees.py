"""A boosted model as what every library's trees come to: splits, leaves, what is added, and what makes a sum an answer.

The libraries' own readers (``of_xgboost``, ``of_lightgbm``, ``of_catboost``) make one; ``converter`` writes it as ONNX.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Unexportable(ValueError):
    """A model that ONNX can't say: the cause as the message, and the ``remedy`` as a sentence without its full stop."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


class Link(StrEnum):
    """What makes the sum of a row's leaves the model's answer."""

    IDENTITY = "identity"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    EXP = "exp"
    SIGNED_SQUARE = "signed square"
    LOG1P_EXP = "log(1 + exp)"
    STEP = "1 above 0"


@dataclass
class Trees:
    """The nodes of all trees in the words of ONNX's tree ensembles, one entry a node (``nodes_``) or a leaf's weight (``target_``)."""

    nodes_treeids: list[int] = field(default_factory=list)
    nodes_nodeids: list[int] = field(default_factory=list)
    nodes_featureids: list[int] = field(default_factory=list)
    nodes_modes: list[str] = field(default_factory=list)
    nodes_values: list[float] = field(default_factory=list)
    nodes_truenodeids: list[int] = field(default_factory=list)
    nodes_falsenodeids: list[int] = field(default_factory=list)
    nodes_missing_value_tracks_true: list[int] = field(default_factory=list)
    target_treeids: list[int] = field(default_factory=list)
    target_nodeids: list[int] = field(default_factory=list)
    target_ids: list[int] = field(default_factory=list)
    target_weights: list[float] = field(default_factory=list)

    def split(
        self, tree: int, node: int, feature: int, mode: str, value: float, branches: tuple[int, int], *, missing_is_true: bool
    ) -> None:
        """Add a node that goes to ``branches[0]`` where ``feature`` is ``mode`` ``value``, else to ``branches[1]``."""
        self._node(tree, node, feature, mode, value, branches, missing_is_true)

    def member(
        self,
        tree: int,
        nodes: Iterator[int],
        node: int,
        feature: int,
        values: Sequence[float],
        branches: tuple[int, int],
        *,
        missing_is_true: bool,
    ) -> None:
        """Add nodes that go to ``branches[0]`` where ``feature`` is one of ``values``; ``nodes`` gives further numbers of this tree."""
        for at, value in enumerate(values):
            following = branches[1] if at == len(values) - 1 else next(nodes)
            self._node(tree, node, feature, "BRANCH_EQ", value, (branches[0], following), missing_is_true)
            node = following

    def leaf(self, tree: int, node: int, weights: dict[int, float]) -> None:
        """Add a leaf that gives ``weights`` by target."""
        self._node(tree, node, 0, "LEAF", 0.0, (0, 0), False)
        for target, weight in weights.items():
            self.target_treeids.append(tree)
            self.target_nodeids.append(node)
            self.target_ids.append(target)
            self.target_weights.append(weight)

    def _node(self, tree: int, node: int, feature: int, mode: str, value: float, branches: tuple[int, int], missing: bool) -> None:
        self.nodes_treeids.append(tree)
        self.nodes_nodeids.append(node)
        self.nodes_featureids.append(feature)
        self.nodes_modes.append(mode)
        self.nodes_values.append(value)
        self.nodes_truenodeids.append(branches[0])
        self.nodes_falsenodeids.append(branches[1])
        self.nodes_missing_value_tracks_true.append(int(missing))

    def attributes(self, *, wide: bool) -> dict[str, Any]:
        """The attributes of the operator, with thresholds and weights of 64 bits where ``wide``, else of 32.

        A number of 32 bits is at most a threshold of 64 exactly where it is at most the largest of 32 bits that isn't above it.
        """
        import numpy as np

        found: dict[str, Any] = {name: value for name, value in vars(self).items() if name not in ("nodes_values", "target_weights")}
        if wide:
            return found | {"nodes_values": np.array(self.nodes_values), "target_weights": np.array(self.target_weights)}
        with np.errstate(over="ignore"):
            exact = np.array(self.nodes_values, dtype="float64")
            values = exact.astype("float32")
            above = (values > exact) & (np.array(self.nodes_modes) == "BRANCH_LEQ")
            values[above] = np.nextafter(values[above], np.float32("-inf"))
        weights = np.array(self.target_weights, dtype="float64").astype("float32")
        return found | {"nodes_values": values.tolist(), "target_weights": weights.tolist()}


@dataclass(frozen=True)
class Boosted:
    """A whole model: the sum of ``trees`` for each of ``base``'s targets, with ``base`` added, through ``link``.

    ``slope`` is what the sum is multiplied with before. ``missing``: a number that means a missing one in every column. ``zeros_missing``
    and ``categories``: columns in which about 0 is missing, and in which only the whole part of a number counts. ``threshold``: the
    probability above which the second of two classes is answered. ``narrow``: it computes in 32 bits whatever it is given.
    """

    trees: Trees
    base: tuple[float, ...]
    link: Link = Link.IDENTITY
    slope: float = 1.0
    missing: float = float("nan")
    zeros_missing: frozenset[int] = frozenset()
    categories: frozenset[int] = frozenset()
    threshold: float = 0.5
    narrow: bool = False
