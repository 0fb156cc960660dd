"""An ONNX file that is brought: whether it is one, is whole, and is something that the server runs. Nothing in it is executed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.kinds.forms.onnx_graph import inside, nodes
from include.spec.files import outside

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

MAX_BYTES = 2**31 - 1
"""An ONNX file is one protobuf message, which holds no more; so much is embedded of files beside it, too."""
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Whose operators ONNX Runtime has built in: here, and in the server."""
EXPORT = "Export the model to ONNX again"
SMALLER = f"{EXPORT} with weights of half the size (float16), or take a smaller model."


def read(folder: Path, name: str) -> ModelProto:
    """Return the model in ``folder / name`` with all its weights in it. Raises InputError that names file, fault and remedy."""
    path, where = folder / name, f"base: {name}"
    if why := outside(name, folder):
        raise InputError(why, where=where, remedy="Name a plain file in the model's folder.")
    _fits(path, where)
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise InputError(f"is no ONNX file: {str(error)[:120]}.", where=where, remedy=f"{EXPORT}.") from None
    if not model.ir_version or not model.opset_import or not model.graph.node:
        raise InputError("is no ONNX file, or one without a graph.", where=where, remedy=f"{EXPORT}.")
    _embed(model, path.parent, where)
    check(model, where)
    return model


def check(model: ModelProto, where: str) -> None:
    """Raise InputError unless the server knows every operator of ``model``, and all of its weights are numbers."""
    import onnx

    known = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > known:
            what = f"is written for opset {opset.version}, and what serves it knows those up to {known}."
            raise InputError(what, where=where, remedy=f"{EXPORT} with opset_version={known} or lower.")
    own = {function.domain for function in model.functions}
    foreign = sorted(
        {f"{node.domain}::{node.op_type}" for node in nodes(model.graph) if node.domain not in DOMAINS and node.domain not in own}
    )
    if foreign:
        what = f"needs operators that ONNX Runtime does not have: {', '.join(foreign[:5])}."
        raise InputError(what, where=where, remedy=f"{EXPORT} without custom operators: no library of theirs is loaded.")
    for weights in model.graph.initializer:
        if why := _unsound(weights):
            remedy = "Look for a training that diverged, and train again."
            raise InputError(f"its weights {weights.name!r} hold {why}.", where=where, remedy=remedy)


def loaded(path: Path, where: str) -> Any:
    """Return ONNX Runtime's session of the file. InputError in its own words where it does not take it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes
        what = f"ONNX Runtime {onnxruntime.__version__} does not load it: {str(error).strip().splitlines()[0][:300]}"
        raise InputError(what, where=where, remedy=f"{EXPORT}, and try it with onnxruntime.InferenceSession.") from None


def _fits(path: Path, where: str) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}.", where=where, remedy="Put the file into the model's folder.") from None
    if not size:
        raise InputError("is empty.", where=where, remedy=f"{EXPORT}.")
    if size > MAX_BYTES:
        what = f"has {size / 2**30:.1f} GiB, and 2 GiB are the most that one ONNX file holds."
        raise InputError(what, where=where, remedy=SMALLER)


def _embed(model: ModelProto, folder: Path, where: str) -> None:
    """Take weights that lie in files beside the model into it. InputError where one is not there, or leads out of the folder."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    files = sorted({_location(weights) for weights in _weights(model) if uses_external_data(weights)})
    if not files:
        return
    total = 0
    for name in files:
        if why := outside(name, folder):
            raise InputError(f"its weights lie elsewhere: {why}", where=where, remedy="Put them into the model's folder, as a plain file.")
        if not (folder / name).is_file():
            what = f"its weights lie in {name!r}, which is not in the model's folder."
            raise InputError(what, where=where, remedy="Copy that file beside it, or export with all weights in one file.")
        total += (folder / name).stat().st_size
    if total > MAX_BYTES:
        what = f"its weights have {total / 2**30:.1f} GiB, and what is served is one file of 2 GiB at most."
        raise InputError(what, where=where, remedy=SMALLER)
    try:
        load_external_data_for_model(model, str(folder))
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise InputError(f"its weights can't be read: {str(error)[:200]}.", where=where, remedy=f"{EXPORT}.") from None


def _weights(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in nodes(model.graph):
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
        for inner in inside(node):
            yield from inner.initializer


def _location(weights: TensorProto) -> str:
    return next((entry.value for entry in weights.external_data if entry.key == "location"), "")


def _unsound(weights: TensorProto) -> str:
    """What a tensor of floats holds that is no number; empty when there is nothing."""
    import numpy as np
    from onnx import TensorProto as Types
    from onnx import numpy_helper

    if weights.data_type not in (Types.FLOAT, Types.DOUBLE, Types.FLOAT16):
        return ""
    array = numpy_helper.to_array(weights)
    broken = int((~np.isfinite(array)).sum())
    # A mask of attention is full of -inf on purpose: what is wrong is a weight that is not a number.
    missing = int(np.isnan(array).sum())
    return f"NaN in {missing} of {array.size} places" if missing else "nothing but infinity" if broken == array.size and broken else ""
