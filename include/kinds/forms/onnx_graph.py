"""A walk over an ONNX graph and the graphs within it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield every node of a graph, those of branches and loops too."""
    for node in graph.node:
        yield node
        for inner in inside(node):
            yield from nodes(inner)


def inside(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node holds: its branches, or the body of its loop."""
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g
