"""An ONNX model in the arithmetic that TensorRT shall use: strongly typed networks do what the file says, since TensorRT 11 always.

* ``fp32``: as it is.
* ``fp16``: float16 inside, float32 at its inputs and outputs.
* ``int8``: 8-bit matrix products by Q/DQ nodes, ranges by entropy calibration on training rows. Symmetric, as TensorRT wants them.
* ``fp8``: the same in 8-bit floats (E4M3), by NVIDIA ModelOpt.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.tensorrt import modelopt
from include.tensorrt.modelopt import BATCH, PRODUCTS

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnx import ModelProto

Rows = Mapping[str, "npt.NDArray[Any]"]


class NoForm(Exception):
    """The model has no form of that precision; the text says why, for the report."""


def form(model: ModelProto, precision: str, calibration: Rows, quantizer: str = "onnxruntime") -> ModelProto:
    """``model`` in ``precision``, of the same inputs and outputs; ``quantizer`` (``onnxruntime``, ``modelopt``) makes int8.

    Raises NoForm.
    """
    match precision:
        case "fp32":
            return model
        case "fp16":
            return _half(model)
        case "int8" if quantizer == "onnxruntime":
            return _has_products(_int8(_has_products(model), calibration), quantized=True)
        case _:
            return _has_products(_modelopt(_has_products(model), precision, calibration), quantized=True)


def _half(model: ModelProto) -> ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with _explained("ONNX Runtime's converter to float16"):
        converted: ModelProto = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=False)
        return converted


def _int8(model: ModelProto, calibration: Rows) -> ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with _explained("ONNX Runtime's quantiser"), _files(model) as (source, target):
        quantize_static(
            str(source),
            str(target),
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(PRODUCTS),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Entropy,
            # TensorRT: zero points are 0, biases stay float, weights are quantised in the graph.
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, "AddQDQPairToWeight": True},
        )
        return onnx.load(target)


def _modelopt(model: ModelProto, precision: str, calibration: Rows) -> ModelProto:
    import onnx

    with _files(model) as (source, target):
        if why := modelopt.quantized(source, target, precision, calibration):
            raise NoForm(f"NVIDIA ModelOpt could not make {precision}: {why}")
        return onnx.load(target)


def _has_products(model: ModelProto, quantized: bool = False) -> ModelProto:
    found = {node.op_type for node in model.graph.node}
    if quantized and "QuantizeLinear" not in found:
        raise NoForm("the quantiser found no matrix product with constant weights")
    if not quantized and not found & set(PRODUCTS):
        raise NoForm(f"no {', '.join(PRODUCTS[:-1])} or {PRODUCTS[-1]} to quantise; the graph is made of {', '.join(sorted(found))}")
    return model


@contextmanager
def _files(model: ModelProto) -> Iterator[tuple[Path, Path]]:
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        onnx.save(model, str(source))
        yield source, Path(folder) / "quantized.onnx"


@contextmanager
def _explained(who: str) -> Iterator[None]:
    """The library's own errors as NoForm; its advice, which goes through the root logger, is not for the step's log."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:  # converters raise whatever they raise
        raise NoForm(f"{who} could not do it: {type(error).__name__}: {error}") from error
    finally:
        root.setLevel(level)


class _Reader:
    """Calibration rows in batches, as ONNX Runtime asks for them; whole ones, which its histograms need."""

    def __init__(self, tensors: Rows) -> None:
        rows = len(next(iter(tensors.values())))
        size = min(BATCH, rows)
        starts = range(0, rows // size * size, size)
        self._batches = iter([{name: array[start : start + size] for name, array in tensors.items()} for start in starts])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)
