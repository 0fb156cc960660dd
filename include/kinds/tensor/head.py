"""The end of a graph: a model's scores as `label` and `probabilities`, its number as `prediction`, as every caller of Updraft's gets them.

It is part of the graph, so that every form and every server of the model answers alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from include.bundles.signature import LABEL, PREDICTION, PROBABILITIES
from include.errors import InputError
from include.kinds.forms.onnx_graph import inside
from include.kinds.rows import tags
from include.kinds.tensor.spec import Output, TensorSpec
from include.spec.schema import Task

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnx import ModelProto

SUM = 1e-2
"""How far from 1 the sum of a row's probabilities may be."""
PREFIX = "updraft_"


def own(outputs: Sequence[str], task: Task) -> bool:
    """Say whether outputs of these names are in the platform's form already."""
    return (PREDICTION if task is Task.REGRESSION else LABEL) in outputs


def scores_of(outputs: Sequence[str], output: Output, where: str) -> str:
    """Return the name of the output that holds the scores, or the number. InputError where it can't be told."""
    if output.name is not None:
        if output.name not in outputs:
            remedy = f"It has {', '.join(outputs)}."
            raise InputError(f"{where} has no output {output.name!r}.", where="output.name", remedy=remedy)
        return output.name
    if len(outputs) != 1:
        what = f"{where} has the outputs {', '.join(outputs)}, and which holds the answer is not said."
        raise InputError(what, where="output.name", remedy="Name it, or give `label` (classes) or `prediction` (numbers) in `after`.")
    return outputs[0]


def check_scores(scores: npt.NDArray[Any], spec: TensorSpec, classes: Sequence[Any], name: str) -> None:
    """Raise InputError unless a row's ``scores`` are one for each of ``classes``, and what ``output.scores`` says they are."""
    import numpy as np

    rows, where = len(scores), f"output {name!r}"
    if spec.task is Task.REGRESSION:
        if scores.size != rows:
            remedy = "A regression answers one number a row: name another output, or reduce it in `after`."
            raise InputError(f"has shape {list(scores.shape)} for {rows} rows.", where=where, remedy=remedy)
        return
    if spec.task is Task.MULTILABEL:
        _check_several(scores, spec, classes, name)
        return
    width = 1 if scores.ndim == 1 else scores.shape[1] if scores.ndim == 2 else 0
    if width != len(classes) and not (width == 1 and len(classes) == 2):
        what = f"has shape {list(scores.shape)} for {rows} rows and {len(classes)} classes ({', '.join(map(str, classes[:5]))}, ...)."
        raise InputError(what, where=where, remedy="It must hold a score for each class: see `data.classes` and `output.name`.")
    like = bool((scores >= 0).all()) and bool((np.abs(scores.reshape(rows, -1).sum(axis=1) - 1) <= SUM).all()) and width > 1
    if spec.output.scores == "probabilities" and width > 1 and not like:
        what = f"says `probabilities`, and {name!r} holds others: a row's sum is {float(scores[0].sum()):.4g}."
        raise InputError(what, where="output.scores", remedy="Write `logits`, or correct the output.")
    if spec.output.scores == "logits" and like:
        what = f"says `logits`, and every row of {name!r} sums to 1: a second softmax would flatten it."
        raise InputError(what, where="output.scores", remedy="Write `probabilities`.")


def _check_several(scores: npt.NDArray[Any], spec: TensorSpec, classes: Sequence[Any], name: str) -> None:
    if scores.ndim != 2 or scores.shape[1] != len(classes):
        what = f"has shape {list(scores.shape)} for {len(scores)} rows and {len(classes)} labels."
        raise InputError(
            what, where=f"output {name!r}", remedy="It must hold a score for each label: see `data.classes` and `output.name`."
        )
    if spec.output.scores == "probabilities" and not ((scores >= 0) & (scores <= 1)).all():
        what = f"says `probabilities`, and {name!r} holds {float(scores.max()):.4g} and {float(scores.min()):.4g}."
        raise InputError(what, where="output.scores", remedy="Write `logits`, or correct the output.")


def finish(model: ModelProto, spec: TensorSpec, classes: Sequence[int | str], name: str) -> None:
    """Put the end behind the output ``name`` of ``model``, in place. That output stays, for `after` to look at."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph, end = model.graph, PREFIX
    for taken in (LABEL, PROBABILITIES, PREDICTION):
        rename(graph, taken, f"{end}given_{taken}")
    name = f"{end}given_{name}" if name in (LABEL, PROBABILITIES, PREDICTION) else name

    def constant(called: str, values: npt.NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(values, end + called))
        return end + called

    def node(kind: str, given: list[str], made: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(kind, given, [made], name=f"{end}{made}", **attributes))
        return made

    def column(value: str, made: str) -> str:
        return node("Reshape", [value, constant("column", np.array([-1, 1], dtype=np.int64))], made)

    floats = node("Cast", [name], f"{end}float", to=TensorProto.FLOAT)
    if spec.task is Task.REGRESSION:
        column(floats, PREDICTION)
        graph.output.append(helper.make_tensor_value_info(PREDICTION, TensorProto.FLOAT, ["batch", 1]))
        return
    width = len(classes)
    if spec.task is Task.MULTILABEL:
        node("Sigmoid" if spec.output.scores == "logits" else "Identity", [floats], PROBABILITIES)
        below = node("Less", [PROBABILITIES, constant("edge", np.array(spec.output.threshold, np.float32))], f"{end}below")
        given = node("Cast", [node("Not", [below], f"{end}given")], f"{end}counted", to=TensorProto.INT64)
        worth = constant("worth", np.array([2**place for place in range(width)], dtype=np.int64))
        worths = node("Mul", [given, worth], f"{end}worths")
        opset = max(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
        if opset >= 13:  # since then the axis is an input
            chosen = node("ReduceSum", [worths, constant("axis", np.array([1], dtype=np.int64))], f"{end}set", keepdims=1)
        else:
            chosen = node("ReduceSum", [worths], f"{end}set", keepdims=1, axes=[1])
        sets = [tags.joined(label for place, label in enumerate(classes) if at >> place & 1) for at in range(2**width)]
        node("Gather", [constant("sets", np.array(sets, dtype=object)), chosen], LABEL, axis=0)
        graph.output.append(helper.make_tensor_value_info(LABEL, TensorProto.STRING, ["batch", 1]))
        graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["batch", width]))
        return
    if _is_single(graph, name) and width == 2:
        one = column(floats, f"{end}scores")
        yes = node("Sigmoid", [one], f"{end}yes") if spec.output.scores == "logits" else one
        no = node("Sub", [constant("one", np.array([1], dtype=np.float32)), yes], f"{end}no")
        node("Concat", [no, yes], PROBABILITIES, axis=1)
    else:
        node("Softmax", [floats], PROBABILITIES, axis=1) if spec.output.scores == "logits" else node("Identity", [floats], PROBABILITIES)
    best = node("ArgMax", [PROBABILITIES], f"{end}best", axis=1, keepdims=1)
    texts = isinstance(classes[0], str)
    labels = np.array(list(classes), dtype=object if texts else np.int64)
    node("Gather", [constant("classes", labels), best], LABEL, axis=0)
    graph.output.append(helper.make_tensor_value_info(LABEL, TensorProto.STRING if texts else TensorProto.INT64, ["batch", 1]))
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["batch", width]))


def rename(graph: Any, old: str, new: str) -> None:
    """Give the value ``old`` of a graph another name, wherever it stands; nothing when there is none."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        for names in (node.input, node.output):
            for place, known in enumerate(names):
                if known == old:
                    names[place] = new
        for inner in inside(node):
            rename(inner, old, new)


def _is_single(graph: Any, name: str) -> bool:
    """Say whether an output holds one value a row."""
    [value] = [output for output in graph.output if output.name == name]
    dims = value.type.tensor_type.shape.dim
    return len(dims) == 1 or (len(dims) == 2 and dims[1].dim_value == 1)
