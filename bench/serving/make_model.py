"""Trains the benches' model and writes it as a bundle and as an MLflow model; run by the `trainer` runtime."""

import json
import sys
import warnings
from pathlib import Path

import mlflow.onnx
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

ROWS = 32


def tensor(name, datatype, array):
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.ravel().tolist()}


def main(bundle, mlflow_model):
    warnings.simplefilter("ignore")
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    model = MLPClassifier((64,), max_iter=30, random_state=0).fit(images, labels)
    onnx = to_onnx(model, images[:1], options={"zipmap": False}, final_types=None, target_opset=17)
    onnx.graph.input[0].name, old = "input", onnx.graph.input[0].name
    for node in onnx.graph.node:
        node.input[:] = ["input" if name == old else name for name in node.input]
    session = onnxruntime.InferenceSession(onnx.SerializeToString(), providers=["CPUExecutionProvider"])
    _, probabilities = session.run(None, {"input": images[:ROWS]})
    names = [node.name for node in session.get_outputs()]
    bundle.mkdir()
    (bundle / "model.onnx").write_bytes(onnx.SerializeToString())
    golden = {
        "inputs": [tensor("input", "FP32", images[:ROWS])],
        "outputs": [tensor(names[1], "FP32", probabilities)],
        "tolerance": {"absolute": 1e-4, "relative": 1e-3},
    }
    (bundle / "golden.json").write_text(json.dumps(golden))
    signature = {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [{"name": names[1], "datatype": "FP32", "shape": [-1, 10]}],
    }
    (bundle / "signature.json").write_text(json.dumps(signature))
    mlflow.onnx.save_model(onnx, str(mlflow_model))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
