"""Triton's Python-backend model: ONNX Runtime with the user's wrapper around it. Copied into every model repository as ``model.py``.

Runs inside Triton's stub, in the `triton` runtime (numpy 1): it may import nothing of Updraft. One request's fault stays its own: what
Triton batched together runs together, and one by one when that fails.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253
import onnxruntime  # noqa: TID253
import triton_python_backend_utils as pb_utils

sys.path.insert(0, str(Path(__file__).parent))
import limits as input_limits
import pictures

Arrays = dict[str, Any]
"""numpy arrays by tensor name; the first dimension is the batch."""

LONGEST = 1000
"""Characters of an error that are logged."""
LARGEST = 4.0
"""A request's pictures are at most as large together as so many of the largest that one may be."""


class TritonPythonModel:
    """The interface that Triton's Python backend expects."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        config = json.loads(args["model_config"])
        serving = json.loads((folder / "serving.json").read_text())
        behind = config.get("parameters", {}).get("behind", {}).get("string_value")
        self.graph = Behind(behind, config) if behind else Graph(folder / "model.onnx", serving["threads"])
        self.graph_outputs = self.graph.outputs
        self.dims = {tensor["name"]: tuple(int(size) for size in tensor["dims"]) for tensor in config["input"]}
        self.limits = {name: input_limits.Limit.from_json(limit) for name, limit in serving["limits"].items()}
        self.features = serving["features"]
        self.images = {name: pictures.Picture.from_json(image) for name, image in serving["images"].items()}
        self.types = {tensor["name"]: tensor["data_type"] for tensor in config["output"]}
        self.wrapper = load_wrapper(serving["wrapper"], folder / "code", serving["params"])
        expected = set(self.types) - set(self.graph_outputs)
        if expected and self.wrapper is None:
            raise pb_utils.TritonModelException(f"model.onnx has no output {sorted(expected)}; it has {sorted(self.graph_outputs)}")

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = [self.guarded(self.read, request) for request in requests]
        answers = self.run_together(inputs)
        return [self.respond(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def read(self, request: Any) -> Arrays:
        """The request's tensors, as the graph wants them."""
        arrays: Arrays = {}
        for tensor in request.inputs():
            array = tensor.as_numpy()
            dims = self.dims[tensor.name()]
            wrong = array.ndim != len(dims) + 1 or any(want not in (-1, have) for want, have in zip(dims, array.shape[1:], strict=False))
            if wrong:
                wanted = ", ".join(str(size) for size in (-1, *dims))
                raise InputRefused(f"input {tensor.name()} has shape {list(array.shape)}; the model takes [{wanted}].")
            as_text = array.dtype == object and tensor.name() not in self.images
            arrays[tensor.name()] = decode(tensor.name(), array) if as_text else array
        if why := input_limits.refusal(self.limits, self.features, arrays):
            raise InputRefused(why)
        try:
            arrays = pictures.opened(self.images, arrays, LARGEST)
        except pictures.PictureRefused as error:
            raise InputRefused(str(error)) from None
        return self.wrapper.before(arrays) if self.wrapper else arrays

    def run_together(self, inputs: list[Arrays | Exception]) -> list[Arrays | Exception]:
        """One answer (arrays by name, or the error) for each of ``inputs``."""
        sound = {index: arrays for index, arrays in enumerate(inputs) if not isinstance(arrays, Exception)}
        answers = list(inputs)
        joined: list[Arrays | Exception] | None
        try:
            joined = self.run_joined(list(sound.values())) if len(sound) > 1 else None
        except Exception:
            joined = None
        if joined is None:
            joined = [self.guarded(self.run_one, arrays) for arrays in sound.values()]
        for index, answer in zip(sound, joined, strict=True):
            answers[index] = answer if isinstance(answer, Exception) else self.guarded(self.after, answer)
        return answers

    def run_joined(self, batches: list[Arrays]) -> list[Arrays | Exception] | None:
        sizes = [len(next(iter(arrays.values()))) for arrays in batches]
        whole = self.run_one({name: np.concatenate([arrays[name] for arrays in batches]) for name in batches[0]})
        if any(len(array) != sum(sizes) for array in whole.values()):
            return None  # an output without a batch dimension cannot be divided
        stops = np.cumsum(sizes)[:-1]
        parts = {name: np.split(array, stops) for name, array in whole.items()}
        return [{name: parts[name][index] for name in parts} for index in range(len(batches))]

    def run_one(self, arrays: Arrays) -> Arrays:
        return self.graph.run(arrays)

    def after(self, answer: Arrays) -> Arrays:
        return self.wrapper.after(answer) if self.wrapper else answer

    def respond(self, request: Any, answer: Any) -> Any:
        if not isinstance(answer, Exception):
            answer = self.guarded(self.tensors, answer, request.requested_output_names())
        if isinstance(answer, Exception):
            # These names are put into the module by the stub, after this file was imported.
            code = pb_utils.TritonError.INVALID_ARG if isinstance(answer, InputRefused) else pb_utils.TritonError.INTERNAL
            sentence = str(answer) if isinstance(answer, InputRefused) else f"{type(answer).__name__}: {answer}"
            if code == pb_utils.TritonError.INTERNAL:
                log(request, sentence)
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence, code))
        return pb_utils.InferenceResponse(output_tensors=answer)

    def tensors(self, answer: Arrays, names: list[str]) -> list[Any]:
        for name in names:
            array = np.asarray(answer[name])
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                # JSON has no such number, and who asks could do nothing with it.
                raise InputRefused(f"the model has no number for this input: its {name} would be {array[~np.isfinite(array)][0]}.")
        return [pb_utils.Tensor(name, encode(np.asarray(answer[name]), self.types[name])) for name in names]

    @staticmethod
    def guarded(function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result, or what it raised."""
        try:
            return function(*arguments)
        except Exception as error:
            return error


class Graph:
    """The model, run by ONNX Runtime in this process."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
        self.inputs = [node.name for node in self.session.get_inputs()]
        self.outputs = [node.name for node in self.session.get_outputs()]

    def run(self, arrays: Arrays) -> Arrays:
        return dict(zip(self.outputs, self.session.run(None, {name: arrays[name] for name in self.inputs}), strict=True))


class Behind:
    """The model, run by another backend of this server under the name ``name``; ``config`` is that of the model before it."""

    def __init__(self, name: str, config: dict[str, Any]) -> None:
        self.name = name
        self.types = {tensor["name"]: tensor["data_type"] for tensor in config["input"] if not tensor.get("optional")}
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def run(self, arrays: Arrays) -> Arrays:
        # These names too are put into the module by the stub, after this file was imported.
        memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)
        tensors = [pb_utils.Tensor(name, encode(arrays[name], kind)) for name, kind in self.types.items()]
        asked = pb_utils.InferenceRequest(
            model_name=self.name, requested_output_names=self.outputs, inputs=tensors, preferred_memory=memory
        )
        answer = asked.exec()
        if answer.has_error():
            raise RuntimeError(answer.error().message())
        return {name: pb_utils.get_output_tensor_by_name(answer, name).as_numpy() for name in self.outputs}


def log(request: Any, sentence: str) -> None:
    """Say in the server's log that a request has failed, with the id that the gateway has given it. What callers' input was is not said."""
    parameters = json.loads(request.parameters() or "{}")
    known = {name.lower(): value for name, value in parameters.items()}
    line = {"time": time.time(), "level": "error", "request_id": known.get("x-request-id"), "message": sentence[:LONGEST]}
    print(json.dumps(line), flush=True)


class InputRefused(Exception):
    """The caller's fault: answered with 400."""


def decode(name: str, array: Any) -> Any:
    """Bytes as text; InputRefused where they are no UTF-8."""
    try:
        texts = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise InputRefused(f"input {name} holds bytes that are no UTF-8: 0x{error.object[error.start]:02x} at {error.start}.") from error
    return np.array(texts, dtype=object).reshape(array.shape)


def encode(array: Any, data_type: str) -> Any:
    if data_type == "TYPE_STRING":
        texts = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
        return np.array(texts, dtype=object).reshape(array.shape)
    return np.ascontiguousarray(array.astype(pb_utils.triton_string_to_numpy(data_type), copy=False))


def load_wrapper(entry: str | None, code: Path, params: dict[str, Any]) -> Any:
    """The user's wrapper object, None when the model has none."""
    if not entry:
        return None
    sys.path.insert(0, str(code))
    module, name = entry.split(":")
    return getattr(importlib.import_module(module), name)(params)
