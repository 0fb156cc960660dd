"""ONNX Runtime's graph optimisation, done once and saved: constants folded, operators fused."""

from __future__ import annotations

from pathlib import Path

from include.kinds.forms.optimizers import Built, Calibration, Unavailable


class GraphOptimizer:
    """Up to the extended level: what the level above adds suits the machine it was made on, and a model is served on another."""

    name = "graph"

    def build(self, plain: Path, out: Path, calibration: Calibration) -> Built | Unavailable:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(out)
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            return Unavailable(f"ONNX Runtime could not write it: {error}")
        return Built(lossy=False)
