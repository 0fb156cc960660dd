"""Builds a plan: ONNX through TensorRT's parser and builder (Python API of TensorRT 10 and 11).

    python -m include.tensorrt.build FOLDER --caches FOLDER

builds the plan of a bundle's ``tensorrt`` folder anew for the GPU that the process may use: its plan and sheet are replaced.

Networks are strongly typed: the precision is what the ONNX says (:mod:`include.tensorrt.forms`). TensorRT 11 knows no other way, and
version 10 calls calibrators and precision flags deprecated.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.errors import ComponentError, InputError
from include.tensorrt.gpu import Gpu, visible
from include.tensorrt.plan import MODEL, PLAN, SHEET, Batches, Key, Sheet, sha256

MIB = 2**20
WORKSPACE_MIB = 1024


def version() -> str:
    """TensorRT's own version, three numbers. Raises ComponentError where it is not installed."""
    return ".".join(str(_tensorrt().__version__).split(".")[:3])


def build(onnx: Path, folder: Path, gpu: Gpu, precision: str, batches: Batches, caches: Path | None, workspace_mib: int) -> Sheet:
    """``model.plan`` and ``plan.json`` in ``folder``; ``gpu`` is the one that this process sees.

    What the builder has timed is kept in ``caches`` by the key's name, so that the next build of a like model is short. Raises
    ComponentError in TensorRT's own words when it can't build it.
    """
    key = Key(gpu, version())
    timed = caches / f"{key.slug()}.timing" if caches else None
    before = b""
    if timed:
        with contextlib.suppress(OSError):
            before = timed.read_bytes()
    plan, after = _serialized(onnx, batches, workspace_mib, before)
    _replace(folder / PLAN, plan)
    if timed and after:
        with contextlib.suppress(OSError):  # a step in a container may not write there: it times anew
            timed.parent.mkdir(parents=True, exist_ok=True)
            _replace(timed, after)
    sheet = Sheet(key, precision, batches, workspace_mib, sha256(onnx), sha256(folder / PLAN))
    sheet.save(folder / SHEET)
    return sheet


def _serialized(onnx: Path, batches: Batches, workspace_mib: int, timed: bytes) -> tuple[bytes, bytes]:
    """The plan, and the timing cache after it."""
    trt = _tensorrt()
    logger = log(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx.read_bytes()):
        said = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise ComponentError(f"TensorRT's parser refuses it: {said[:600]}", where=str(onnx))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib * MIB)
    config.clear_flag(trt.BuilderFlag.TF32)  # its ten bits of mantissa are not what fp32 means
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    for preferred in batches.profiles:
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            rest = tuple(tensor.shape)[1:]
            profile.set_shape(tensor.name, (1, *rest), (preferred, *rest), (batches.most, *rest))
        config.add_optimization_profile(profile)
    cache = config.create_timing_cache(timed)
    if not config.set_timing_cache(cache, ignore_mismatch=False) and timed:
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ComponentError(f"TensorRT could not build it: {'; '.join(logger.said[-3:]) or 'it does not say why'}", where=str(onnx))
    kept = config.get_timing_cache()
    return bytes(plan), bytes(kept.serialize()) if kept else b""


def log(trt: Any) -> Any:
    """TensorRT's logger: warnings and errors go to the step's log, errors are kept in ``said`` too."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.said.append(message)
            if severity not in (trt.ILogger.Severity.INFO, trt.ILogger.Severity.VERBOSE):
                print(f"TensorRT: {message}", flush=True)

    return Log()


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.rename(path)


def _tensorrt() -> Any:
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # its libraries are loaded as it is imported
        raise ComponentError(
            f"TensorRT is not installed ({error}).", where="runtime tensorrt", remedy="Run `make install-tensorrt`."
        ) from None
    return tensorrt


def main(arguments: Sequence[str]) -> int:
    options = argparse.ArgumentParser(prog="python -m include.tensorrt.build", description="Build a bundle's plan anew for this GPU.")
    options.add_argument("folder", type=Path, help="the bundle's tensorrt folder")
    options.add_argument("--caches", type=Path, help="where TensorRT's timing caches are kept")
    given = options.parse_args(arguments)
    gpu = visible()
    try:
        if gpu is None:
            raise InputError("no NVIDIA GPU is visible here.", where="CUDA_VISIBLE_DEVICES")
        old = Sheet.read(given.folder / SHEET)
        build(given.folder / MODEL, given.folder, gpu, old.precision, old.batches, given.caches, old.workspace_mib)
    except (ComponentError, InputError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Built for {gpu} by TensorRT {version()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
