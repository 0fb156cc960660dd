"""A graph, the code around it and the columns of the data put together: what is evaluated, optimised and served from then on.

What does not fit together is found here, on real rows, with a sentence that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.signature import INPUT, NUMPY_TYPES, PROBABILITIES, Signature, Tensor
from include.errors import InputError
from include.kinds.forms.onnx_model import Tensors
from include.kinds.rows.rows import Rows
from include.kinds.tensor import head, onnx_file
from include.kinds.tensor.classes import classes_of
from include.kinds.tensor.columns import Column, Holds, columns_of, limits_of, pictures_of
from include.kinds.tensor.parity import near
from include.kinds.tensor.pipeline import Pipeline
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.wrapper import Wrapper
from include.spec.problem import nearest

if TYPE_CHECKING:
    from onnx import ModelProto

TRIED = 3
"""Rows that the graph is tried with, together and one by one."""
MODEL, SIGNATURE = "model.onnx", "signature.json"
_KSERVE = {name: datatype for datatype, name in NUMPY_TYPES.items()}


@dataclass(frozen=True)
class Parts:
    """What a model of ``spec`` is put together from; ``folder`` is the model's, with the code of the ``wrapper``."""

    spec: TensorSpec
    rows: Rows
    labels: Sequence[Any]
    wrapper: Wrapper | None
    folder: Path

    @property
    def columns(self) -> list[Column]:
        """The features of the rows."""
        return columns_of(self.rows.x, self.spec.data)


def assemble(model: ModelProto, parts: Parts, out: Path, where: str) -> Pipeline:
    """Write ``model.onnx`` and ``signature.json`` to the folder ``out``, and return the model that is in them.

    ``where`` names the graph in messages. Raises InputError for whatever does not fit together.
    """
    import onnx

    spec, columns = parts.spec, parts.columns
    path = out / MODEL
    onnx.save(model, str(path))
    wide = _wide(onnx_file.loaded(path, where), columns, parts)
    if wide:
        head.rename(model.graph, model.graph.input[0].name, INPUT)
        onnx.save(model, str(path))
    session = onnx_file.loaded(path, where)
    features = tuple(column.name for column in columns)
    images = {name: picture for name, picture in pictures_of(spec.data).items() if name in features}
    limits = {name: limit for name, limit in limits_of(spec.data).items() if name in features}
    signature = Signature(_inputs(session, columns, parts, where), (), features, (), limits, images)
    tried = Pipeline(path, signature, columns, parts.wrapper, parts.folder)
    first = parts.rows.x.iloc[:TRIED]
    given = _fitting(tried, tried.before(tried.tensors(first)), where)
    outputs = _by_row(tried, given, where)
    classes: tuple[int | str, ...] = ()
    if head.own(list(outputs), spec.task):
        width = outputs[PROBABILITIES].shape[-1] if PROBABILITIES in outputs else 0
        classes = classes_of(spec, parts.labels, width) if spec.data.classes or width else ()
    elif not (spec.output.name is None and len(outputs) > 1 and head.own(list(tried.after(outputs)), spec.task)):
        name = head.scores_of(list(outputs), spec.output, where)
        scores = outputs[name]
        classes = classes_of(spec, parts.labels, scores.shape[1] if scores.ndim == 2 else 1)
        head.check_scores(scores, spec, classes, name)
        head.finish(model, spec, classes, name)
        onnx.save(model, str(path))
    signature = replace(signature, classes=classes)
    made = Pipeline(path, signature, columns, parts.wrapper, parts.folder)
    answered = made.after(made.infer(given))
    hidden = set(outputs) if parts.wrapper is None and not head.own(list(outputs), spec.task) else set()
    made.signature = replace(signature, outputs=_outputs(answered, hidden, spec, len(first)))
    made.signature.save(out / SIGNATURE)
    return made


def _wide(session: Any, columns: Sequence[Column], parts: Parts) -> bool:
    """Say whether the graph takes all columns in one tensor: it has one input, no column is called so, and all are numbers."""
    names = [node.name for node in session.get_inputs()]
    numbers = all(column.holds is Holds.NUMBER for column in columns)
    return parts.wrapper is None and len(names) == 1 and numbers and names[0] not in [column.name for column in columns]


def _inputs(session: Any, columns: Sequence[Column], parts: Parts, where: str) -> tuple[Tensor, ...]:
    """Return the tensors that callers send: the graph's own where there is no code before it, else one a column."""
    if parts.wrapper is not None:
        return tuple(column.tensor for column in columns)
    given, known = {}, [column.name for column in columns]
    for tensor in Signature.of_session(session).inputs:
        if not tensor.shape or tensor.shape[0] != -1:
            what = f"{where}: input {tensor.name!r} has shape {list(tensor.shape)}: its first dimension is not the batch, or is fixed."
            raise InputError(
                what,
                where="the graph",
                remedy="Export it with a dynamic first dimension; in forward() write x.shape[0] or -1, and not len(x).",
            )
        given[tensor.name] = tensor
    if list(given) == [INPUT] and INPUT not in known:
        return (Tensor(INPUT, given[INPUT].datatype, (-1, len(columns))),)
    for name in given:
        if name not in known:
            alike = nearest(name, known)
            remedy = (
                f"Did you mean the column {alike!r}? " if alike else ""
            ) + "Name columns as the graph's inputs, or write `serve.wrapper`."
            raise InputError(f"{where} takes an input {name!r}, and no column is called so.", where="data.features", remedy=remedy)
    if spare := [name for name in known if name not in given]:
        what = f"{where} takes no input {spare[0]!r}: its inputs are {', '.join(given)}."
        raise InputError(what, where=f"column {spare[0]!r}", remedy="Put the column in `data.exclude`, or write `serve.wrapper`.")
    return tuple(_of_column(given[column.name], column) for column in columns)


def _of_column(wanted: Tensor, column: Column) -> Tensor:
    text = column.datatype == "BYTES"
    if text != (wanted.datatype == "BYTES"):
        what = f"holds {column.holds}s, and the graph's input is {wanted.datatype}."
        raise InputError(what, where=f"column {column.name!r}", remedy="Turn it into what the graph takes, in the data or in `before`.")
    shape = column.shape if len(wanted.shape) > 1 else ()
    if len(wanted.shape[1:]) != len(shape) or any(want not in (-1, have) for want, have in zip(wanted.shape[1:], shape, strict=True)):
        what = f"holds arrays of shape {list(column.shape)}, and the graph's input has {list(wanted.shape[1:])} beside the batch."
        raise InputError(what, where=f"column {column.name!r}", remedy="Give it that shape, in the data or in `before`.")
    return Tensor(column.name, wanted.datatype, (-1, *shape))


def _fitting(tried: Pipeline, given: Tensors, where: str) -> Tensors:
    """Return what `before` gave as the graph's own types. InputError for a shape or type that the graph does not take."""
    import numpy as np

    found = {}
    for node, tensor in zip(tried.graph_inputs, Signature.of_session(tried.session).inputs, strict=True):
        array = np.asarray(given[node.name])
        fits = array.ndim == len(tensor.shape) and all(w in (-1, h) for w, h in zip(tensor.shape[1:], array.shape[1:], strict=True))
        if not fits or (tensor.shape and tensor.shape[0] not in (-1, len(array))):
            what = f"{where}: input {node.name!r} takes {list(tensor.shape)}, and gets {list(array.shape)} for {TRIED} rows."
            remedy = "Give it that shape in `before`; a first dimension that is fixed must be exported as dynamic."
            raise InputError(what, where="serve.wrapper", remedy=remedy)
        if array.dtype != tensor.dtype:
            what = f"{where}: input {node.name!r} takes {tensor.dtype}, and gets {array.dtype}."
            raise InputError(what, where="serve.wrapper", remedy=f"Return .astype({tensor.dtype.name!r}) in `before`.")
        found[node.name] = array
    return found


def _by_row(tried: Pipeline, given: Tensors, where: str) -> Tensors:
    """Return the graph's outputs for all rows at once. InputError where a row's answer hangs on the rows beside it."""
    import numpy as np

    remedy = "Export it in evaluation mode (`model.eval()`) and with a dynamic first dimension in every input."
    rows = len(next(iter(given.values())))
    try:
        whole = tried.infer(given)
        single = [tried.infer({name: array[row : row + 1] for name, array in given.items()}) for row in range(rows)]
    except InputError:
        raise
    except Exception as error:  # ONNX Runtime's own
        what = f"does not answer {rows} rows, or one of them alone: {str(error).strip().splitlines()[0][:300]}"
        raise InputError(what, where=where, remedy=remedy) from None
    for name, array in whole.items():
        if array.ndim == 0 or len(array) != rows:
            what = f"its output {name!r} has shape {list(array.shape)} for {rows} rows."
            raise InputError(what, where=where, remedy=remedy)
        if array.dtype.kind not in "fiub":
            continue
        alone = np.concatenate([one[name] for one in single])
        if not near(alone, array):
            what = f"its output {name!r} for a row hangs on the rows beside it."
            raise InputError(what, where=where, remedy=remedy)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            what = f"its output {name!r} is NaN or infinite for the first rows of the data."
            raise InputError(what, where=where, remedy="Look for inputs that the model was not trained on, or a training that diverged.")
    return whole


def _outputs(answered: Mapping[str, Any], hidden: set[str], spec: TensorSpec, rows: int) -> tuple[Tensor, ...]:
    """Return the tensors that callers get. InputError where the answer itself is not among them."""
    if not head.own(list(answered), spec.task):
        what = f"gives {', '.join(answered)}, and neither `label` nor `prediction`."
        raise InputError(what, where="after() in serve.wrapper", remedy="Return the outputs that it got as well.")
    found = []
    for name, array in answered.items():
        if name in hidden:
            continue
        datatype = "BYTES" if array.dtype.kind in "OSU" else _KSERVE.get(array.dtype.name, "")
        if array.ndim == 0 or len(array) != rows or not datatype:
            what = f"gives {name!r} as {array.dtype} of shape {list(array.shape)} for {rows} rows."
            raise InputError(what, where="after() in serve.wrapper", remedy="Return arrays whose first dimension is the batch.")
        found.append(Tensor(name, datatype, (-1, *array.shape[1:])))
    return tuple(found)
