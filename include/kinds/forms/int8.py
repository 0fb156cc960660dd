"""Weights and activations of matrix products as 8-bit integers.

Static, with ranges calibrated on training rows: dynamic quantisation would take a batch's own range, and a request's answer would then
depend on the other requests that Triton batches it with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.kinds.forms.optimizers import Built, Calibration, Unavailable
from include.kinds.forms.outliers import left_out

if TYPE_CHECKING:
    from onnx import ModelProto

QUANTISABLE = ("MatMul", "Gemm", "Conv")
CALIBRATION_BATCH = 64


class Int8Optimizer:
    """ONNX Runtime's static quantisation (QDQ form). Trees and other ``ai.onnx.ml`` operators have no 8-bit form."""

    name = "int8"

    def build(self, plain: Path, out: Path, calibration: Calibration) -> Built | Unavailable:
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        graph = onnx.load(plain).graph
        if not any(node.op_type in QUANTISABLE for node in graph.node):
            found = ", ".join(sorted({node.op_type for node in graph.node}))
            return Unavailable(f"no {', '.join(QUANTISABLE[:-1])} or {QUANTISABLE[-1]} to quantise; the graph is made of {found}")
        root = logging.getLogger()
        level = root.level
        # The quantiser advises, through the root logger, on a preparation that plain exports have no need of.
        root.setLevel(logging.ERROR)
        try:
            spared = left_out(plain, calibration, QUANTISABLE)
            quantize_static(
                str(plain),
                str(out),
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISABLE),
                nodes_to_exclude=spared,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # 7 bits: products of 8 saturate on processors without VNNI, and answers would differ by the machine that serves.
                reduce_range=True,
                calibrate_method=CalibrationMethod.MinMax,
            )
        except Exception as error:
            return Unavailable(f"ONNX Runtime could not quantise it: {type(error).__name__}: {error}")
        finally:
            root.setLevel(level)
        if not _quantised(onnx.load(out)):
            return Unavailable("ONNX Runtime found no matrix product with constant weights to quantise")
        return Built(lossy=True)


def _quantised(model: ModelProto) -> bool:
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


class _Reader:
    """Calibration rows in batches, as ONNX Runtime asks for them."""

    def __init__(self, tensors: Calibration) -> None:
        self._batches = self._cut(tensors)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)

    @staticmethod
    def _cut(tensors: Calibration) -> Iterator[dict[str, Any]]:
        rows = len(next(iter(tensors.values())))
        for start in range(0, rows, CALIBRATION_BATCH):
            yield {name: array[start : start + CALIBRATION_BATCH] for name, array in tensors.items()}
