"""A network of PyTorch: trained by the user's function on what the code around it makes of rows, then exported as an ONNX graph.

Runs in runtime `torch`.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from include.bundles.signature import INPUT
from include.errors import InputError
from include.kinds.rows import tags
from include.kinds.tensor.assembly import TRIED, Parts
from include.kinds.tensor.classes import classes_of
from include.kinds.tensor.columns import Holds, pictures_of
from include.kinds.tensor.parity import near
from include.kinds.tensor.wrapper import BATCH_FIRST, before
from include.spec.schema import Task
from include.steps.user_code import explained, importable, load_entry

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from onnx import ModelProto

CHUNK = 64
"""Rows that the code around the model gets at once."""
_OPERATOR = re.compile(r"(?:aten|prims|torchvision|custom|[a-z_]\w*)[.:]{1,2}[a-z_]\w*(?:\.[A-Za-z_]\w*)?")
"""How torch names an operator: `aten.grid_sampler_3d.default`, `torchvision::nms`."""


def train(parts: Parts, params: dict[str, Any], rank: int) -> ModelProto | None:
    """Return the graph of the module that the user's function has made; None on every worker but the first. Raises InputError."""
    import torch

    spec = parts.spec
    inputs = tensors(parts, parts.rows.x)
    dataset = torch.utils.data.TensorDataset(*inputs.values(), truth(parts))
    dataset.classes, dataset.inputs = classes_of(spec, parts.labels), tuple(inputs)
    shapes = ", ".join(f"{name} {list(tensor.shape[1:])}" for name, tensor in inputs.items())
    print(f"Training {spec.name} on {len(dataset)} rows: {shapes}.", flush=True)
    with importable(parts.folder):
        function = load_entry(parts.folder, spec.train.entry)
        started = time.monotonic()
        with explained(parts.folder, f"{spec.train.entry.partition(':')[2]}()"):
            module = function(dataset, dict(params))
        print(f"Trained in {time.monotonic() - started:.2f} s.", flush=True)
        if rank:
            return None
        where = f"train.entry {spec.train.entry}"
        check(module, where)
        module = module.to("cpu").eval()
        return export(module, {name: tensor[:TRIED] for name, tensor in inputs.items()}, spec.task, where)


def tensors(parts: Parts, x: pd.DataFrame) -> dict[str, torch.Tensor]:
    """Return the model's input tensors for the rows ``x``, by the code that the server runs. InputError where they don't fit together."""
    import numpy as np
    import torch

    columns = parts.columns
    if parts.wrapper is None and all(column.holds is Holds.NUMBER for column in columns):
        return {INPUT: torch.from_numpy(x.to_numpy(dtype="float32").copy())}
    if parts.wrapper is None:
        if texts := [column.name for column in columns if column.holds is Holds.TEXT]:
            remedy = "Turn it into numbers in `before` of `serve.wrapper`, or put it in `data.exclude`."
            raise InputError("is text, and a network takes numbers.", where=f"column {texts[0]!r}", remedy=remedy)
        return {column.name: torch.from_numpy(column.array(x[column.name])) for column in columns}
    chunks = []
    for start in range(0, len(x), CHUNK):
        part = x.iloc[start : start + CHUNK]
        sent = {column.name: column.array(part[column.name]) for column in columns}
        chunks.append(before(parts.wrapper, pictures_of(parts.spec.data), sent, parts.folder))
        _check_batch(chunks[-1], len(part))
    try:
        return {str(name): torch.from_numpy(np.concatenate([chunk[name] for chunk in chunks])) for name in chunks[0]}
    except (ValueError, KeyError, TypeError) as error:
        remedy = "Give every row arrays of the same shape and type: pad, resize."
        raise InputError(f"before() gives what can't be put together: {error}.", where="serve.wrapper", remedy=remedy) from None


def _check_batch(made: dict[str, Any], rows: int) -> None:
    """What is learnt from stands beside what is right, row by row."""
    for name, array in made.items():
        if len(array) != rows:
            what = f"before() gives an array of shape {list(array.shape)} as {name!r} for {rows} rows."
            raise InputError(what, where="serve.wrapper", remedy=BATCH_FIRST)


def truth(parts: Parts) -> torch.Tensor:
    """Return what is right of every row: the number of its class (int64), the number, or 1 for each label that it has (both float32)."""
    import torch

    y = parts.rows.y
    if parts.spec.task is Task.REGRESSION:
        return torch.tensor(y.to_numpy(dtype="float32"))
    if parts.spec.task is Task.MULTILABEL:
        labels = classes_of(parts.spec, parts.labels)
        rows = [[float(label in tags.parts(text)) for label in labels] for text in y.tolist()]
        return torch.tensor(rows, dtype=torch.float32)
    place = {label: number for number, label in enumerate(classes_of(parts.spec, parts.labels))}
    return torch.tensor([place[label] for label in y.tolist()], dtype=torch.int64)


def check(module: Any, where: str) -> None:
    """Raise InputError unless ``module`` is a torch.nn.Module whose weights are numbers."""
    import torch

    if inspect.isclass(module) or not isinstance(module, torch.nn.Module):
        kind = "nothing" if module is None else f"the class {module.__name__}" if inspect.isclass(module) else f"a {type(module).__name__}"
        raise InputError(f"the function returned {kind}, which is no model.", where=where, remedy="Return the trained torch.nn.Module.")
    for name, weights in (*module.named_parameters(), *module.named_buffers()):
        if weights.is_floating_point() and torch.isnan(weights).any():
            remedy = "Look for a learning rate that diverges, and for NaN in the data."
            raise InputError(f"the weights {name!r} hold NaN.", where=where, remedy=remedy)


def export(module: torch.nn.Module, inputs: dict[str, torch.Tensor], task: Task, where: str) -> ModelProto:
    """Return ``module`` as a graph with a dynamic batch, which answers ``inputs`` as it does. InputError names the operator at fault."""
    import onnx
    import torch

    given = tuple(inputs.values())
    try:
        with torch.no_grad():
            answer = module(*given)
    except Exception as error:
        remedy = f"It is called with {', '.join(inputs)}, in that order."
        raise InputError(f"forward() raised {type(error).__name__}: {error}", where=where, remedy=remedy) from error
    answers = (answer,) if isinstance(answer, torch.Tensor) else tuple(answer) if isinstance(answer, tuple | list) else ()
    if not answers or not all(isinstance(part, torch.Tensor) for part in answers):
        what = f"forward() gives a {type(answer).__name__}."
        raise InputError(what, where=where, remedy="Return a tensor, or a tuple of tensors, whose first dimension is the batch.")
    first = "number" if task is Task.REGRESSION else "scores"
    names = [first if number == 0 else f"output_{number}" for number in range(len(answers))]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        _export(module, given, path, list(inputs), names, where)
        model = onnx.load(str(path))
        _compare(path, inputs, answers, names, where)
    return model


def _export(module: Any, given: Any, path: Path, inputs: Sequence[str], outputs: Sequence[str], where: str) -> None:
    import contextlib
    import io
    import logging
    import warnings

    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # One dimension object: all inputs share the batch.
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                given,
                str(path),
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=_shapes(module, [{0: batch} for _ in given]),
                opset_version=18,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter's own classes, one inside the other
        raise InputError(_why(error), where=where, remedy=_remedy(error)) from error


def _shapes(module: Any, shapes: list[Any]) -> tuple[Any, ...]:
    """Return the inputs' shapes as the exporter wants them: those that ``*args`` of a forward() takes, as one."""
    parameters = list(inspect.signature(module.forward).parameters.values())
    several = [at for at, parameter in enumerate(parameters) if parameter.kind is inspect.Parameter.VAR_POSITIONAL]
    return (*shapes[: several[0]], tuple(shapes[several[0] :])) if several else tuple(shapes)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in found:
        found.append(at)
        at = at.__cause__ or at.__context__
    return found


def _why(error: Exception) -> str:
    texts = [str(one) for one in _causes(error)]
    operators = [match[0] for text in texts for match in _OPERATOR.finditer(text) if not match[0].startswith(("torch.", "e.g", "http"))]
    known = [name for name in operators if name.startswith(("aten", "prims", "torchvision"))]
    known = known or [name for name in operators if "::" in name]
    if known:
        return f"the operator {known[0]} can't be exported to ONNX."
    said = texts[-1].strip() or type(error).__name__
    return f"the module can't be exported to ONNX: {said.splitlines()[0][:300]}."


def _remedy(error: Exception) -> str:
    text = " ".join(str(one) for one in _causes(error))
    if "data-dependent" in text or "GuardOnDataDependent" in text or "dynamic control flow" in text:
        return "Replace `if` and `for` over values of tensors by torch.where or torch.cond: the graph is the same for every row."
    if "Constraints violated" in text or "specialized" in text:
        return "forward() fixes the batch: use x.shape[0] or -1 in view() and reshape(), and no number of rows."
    return "Replace it by others with the same result, or move it into `before` or `after` of `serve.wrapper`."


def _compare(path: Path, inputs: dict[str, torch.Tensor], answers: Sequence[torch.Tensor], names: Sequence[str], where: str) -> None:
    """InputError where the graph does not answer as the module."""
    from include.kinds.tensor import onnx_file

    session = onnx_file.loaded(path, where)
    known = {node.name for node in session.get_inputs()}
    try:
        said = session.run(list(names), {name: tensor.numpy() for name, tensor in inputs.items() if name in known})
    except Exception as error:  # ONNX Runtime's own
        what = f"the graph that it was exported to can't be run: {str(error).strip().splitlines()[0][:300]}."
        raise InputError(
            what, where=where, remedy="Write the layer that is named in another way, or move it into `before` or `after`."
        ) from None
    for name, ours, theirs in zip(names, said, answers, strict=True):
        wanted = theirs.numpy()
        if not near(ours, wanted):
            what = f"the graph does not answer as the module does: its output {name!r} differs."
            raise InputError(what, where=where, remedy="Look for randomness in forward(), and for state that it changes.")
