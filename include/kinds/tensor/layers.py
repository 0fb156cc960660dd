"""Where in a graph an 8-bit form goes astray: the outputs of its products beside those of the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.kinds.forms.int8 import QUANTISABLE
from include.kinds.forms.onnx_model import Tensors


def worst_layer(plain: Path, coarse: Path, given: Tensors) -> str:
    """Return which product's values differ most between the two graphs on the inputs ``given``, as a sentence; empty when none can be held
    against each other. The measure is the ratio of signal to error, in decibels: 20 is an error of a tenth."""
    import numpy as np
    import onnx

    graphs = [onnx.load(str(path)) for path in (plain, coarse)]
    layers = {node.output[0]: node for node in graphs[0].graph.node if node.op_type in QUANTISABLE}
    there = {name for node in graphs[1].graph.node for name in node.output}
    names = [name for name in layers if name in there]
    if not names:
        return ""
    ours, theirs = (_values(graph, names, given) for graph in graphs)
    ratios = {}
    for name in names:
        error = np.square(ours[name] - theirs[name]).sum()
        ratios[name] = float(10 * np.log10(np.square(ours[name]).sum() / error)) if error else float("inf")
    worst = min(ratios, key=lambda name: ratios[name])
    node = layers[worst]
    return f"its values differ most behind {node.op_type} {node.name or worst} (signal to error {ratios[worst]:.1f} dB)"


def _values(graph: Any, names: list[str], given: Tensors) -> Tensors:
    """The values ``names`` within a graph, nothing of it fused."""
    import onnxruntime
    from onnx import TensorProto, helper

    shown = {output.name for output in graph.graph.output}
    graph.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in shown)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, given), strict=True))
