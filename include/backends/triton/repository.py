"""Triton's model repository out of a bundle: config.pbtxt from the signature, the model, and the code around it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.backends.triton import gpu as triton_gpu
from include.backends.triton.spec import TritonServe
from include.bundles import limits, pictures
from include.bundles.signature import Signature, Tensor
from include.bundles.table import Bundle
from include.errors import InputError

BACKEND = "python"
"""The wheel of target `process` has this one only. Other servers have more, for GPUs: include/backends/triton/gpu.py."""
THREADS = 1
"""Threads of one ONNX Runtime session: small models gain nothing from more, and batches already fill the server."""
MODEL_FILE = Path(__file__).with_name("model.py")
BESIDE = tuple(Path(str(module.__file__)) for module in (limits, pictures))
"""Modules of Updraft's that the model's code imports."""

ACCELERATORS = (
    'optimization { execution_accelerators { gpu_execution_accelerator : [ { name : "tensorrt" '
    'parameters { key: "precision_mode" value: "FP32" } parameters { key: "max_workspace_size_bytes" value: "1073741824" } } ] } }'
)
"""What TensorRT can't take of the graph, CUDA's execution provider does, which the backend always puts behind it."""

_TRITON_TYPES = {"BYTES": "STRING"}


def render_config(model: str, signature: Signature, serve: TritonServe, backend: str = BACKEND, profiles: int = 0, behind: str = "") -> str:
    """The model's config.pbtxt: dynamic batching up to ``max_batch_size``, waiting at most ``batch_delay_us``.

    Every backend but Python's is on the GPU, ONNX Runtime's with TensorRT before CUDA. ``profiles``: how many optimisation profiles a plan
    has; Triton takes the one whose batch is nearest. ``behind``: the server's model that a Python model checks requests for.
    """
    preferred = f"preferred_batch_size: [ {', '.join(map(str, serve.preferred_batch_sizes))} ] " if serve.preferred_batch_sizes else ""
    numbers = ", ".join(f'"{number}"' for number in range(profiles))
    group = f"kind: {'KIND_CPU' if backend == BACKEND else 'KIND_GPU'} count: {serve.instances}"
    return "\n".join(
        [
            f'name: "{model}"',
            'platform: "tensorrt_plan"' if backend == triton_gpu.TENSORRT else f'backend: "{backend}"',
            f"max_batch_size: {serve.max_batch_size}",
            # Only the Python backend takes inputs that its model has not.
            *(_tensor("input", tensor) for tensor in signature.inputs if backend == BACKEND or not tensor.optional),
            *(_tensor("output", tensor) for tensor in signature.outputs),
            f"dynamic_batching {{ {preferred}max_queue_delay_microseconds: {serve.batch_delay_us} {_queue(serve)} }}",
            f"instance_group [ {{ {group}{f' profile: [ {numbers} ]' if profiles else ''} }} ]",
            *([ACCELERATORS] if backend == triton_gpu.ONNX else ()),
            *([f'parameters {{ key: "behind" value {{ string_value: "{behind}" }} }}'] if behind else ()),
            "version_policy: { latest { num_versions: 1 } }",
            "",
        ]
    )


def _queue(serve: TritonServe) -> str:
    """What waits longer than its caller does is not computed: a server that was asked too much for a while answers in time again."""
    return f"default_queue_policy {{ timeout_action: REJECT default_timeout_microseconds: {round(serve.request_timeout_s * 1e6)} }}"


def _tensor(kind: str, tensor: Tensor) -> str:
    if not tensor.shape or tensor.shape[0] != -1:
        raise InputError(
            f"has shape {list(tensor.shape)}: its first dimension is not the batch.",
            where=f"signature.json: {kind} {tensor.name}",
            remedy="Export the model with a first dimension of -1.",
        )
    dims = ", ".join(str(size) for size in tensor.shape[1:]) or "1"
    data_type = f"TYPE_{_TRITON_TYPES.get(tensor.datatype, tensor.datatype)}"
    # A tensor of rank one is [batch] to callers; Triton wants a dimension beside the batch.
    reshape = "" if len(tensor.shape) > 1 else " reshape { shape: [ ] }"
    optional = " optional: true" if tensor.optional else ""
    return f"{kind} [ {{ name: {_quoted(tensor.name)} data_type: {data_type} dims: [ {dims} ]{reshape}{optional} }} ]"


def _quoted(text: str) -> str:
    """A text in protobuf's text format, which reads UTF-8 as it is."""
    return json.dumps(text, ensure_ascii=False)


def write_repository(bundle: Bundle, folder: Path, model: str, version: str, serve: TritonServe, params: Mapping[str, Any]) -> None:
    """A complete repository at ``folder``, independent of the bundle from then on. What was there is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    home = folder / model / version
    home.mkdir(parents=True)
    shutil.copyfile(bundle.folder / "model.onnx", home / "model.onnx")
    shutil.copyfile(MODEL_FILE, home / "model.py")
    for file in BESIDE:
        shutil.copyfile(file, home / file.name)
    if bundle.code:
        shutil.copytree(bundle.code, home / "code", ignore=shutil.ignore_patterns("__pycache__"))
    _check_wrapper(serve, home / "code")
    signature = bundle.signature.to_json()
    serving = {
        "wrapper": serve.wrapper,
        "params": dict(params),
        "threads": THREADS,
        "features": signature["features"],
        "limits": signature["limits"],
        "images": signature["images"],
    }
    (home / "serving.json").write_text(json.dumps(serving, indent=1))
    (folder / model / "config.pbtxt").write_text(render_config(model, bundle.signature, serve))
    if backends := triton_gpu.ways(bundle, serve):
        profiles = len(serve.preferred_batch_sizes) or 1
        behind = f"{model}{triton_gpu.BEHIND}" if bundle.signature.limits else ""
        at_once = serve.model_copy(update={"batch_delay_us": 0})  # requests come together before the model that checks them
        configs = {
            backend: render_config(behind, bundle.signature, at_once, backend, profiles if backend == triton_gpu.TENSORRT else 0)
            if behind and backend != BACKEND
            else render_config(model, bundle.signature, serve, backend, profiles if backend == triton_gpu.TENSORRT else 0)
            for backend in backends
        }
        checked = render_config(model, bundle.signature, serve, behind=behind) if behind else ""
        triton_gpu.lay_out(bundle, home, configs, checked)


def check_repository(folder: Path, model: str, version: str) -> None:
    """Every file that Triton will open is there: a missing model.py makes its load hang for ever."""
    home = folder / model / version
    for path in (folder / model / "config.pbtxt", home / "model.py", home / "model.onnx", home / "serving.json"):
        if not path.is_file() or not path.stat().st_size:
            raise InputError("is missing or empty.", where=str(path), remedy="Deploy the version again.")


def _check_wrapper(serve: TritonServe, code: Path) -> None:
    if serve.wrapper is None:
        return
    module = code / f"{serve.wrapper.split(':')[0]}.py"
    if not module.is_file():
        raise InputError(
            f"names module {module.name}, which the bundle's code/ does not hold.",
            where="serve.wrapper",
            remedy="Put it into the model's folder.",
        )
