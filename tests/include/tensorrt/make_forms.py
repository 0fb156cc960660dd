"""Exports models, says them in plain ONNX and in every precision, and prints how far each is from the original (JSON). Run by the `trainer`
runtime."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from sklearn.base import is_regressor
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

from include.kinds.forms.int8 import Int8Optimizer
from include.kinds.table.onnx_export import attempts
from include.spec.schema import Task
from include.tensorrt import forms, operators

X, Y = load_digits(return_X_y=True, as_frame=True)
HOLED = X.mask(np.random.default_rng(0).random(X.shape) < 0.05)
MODELS = {
    "network": (make_pipeline(MinMaxScaler(), MLPClassifier((32,), max_iter=20, random_state=0)), X, Y),
    "network of two classes": (make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=10, random_state=0)), X, Y > 4),
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=100)), X, Y),
    "logistic of two classes": (make_pipeline(SimpleImputer(), LogisticRegression(max_iter=100)), HOLED, Y > 4),
    "normalised": (make_pipeline(Normalizer(), LogisticRegression(max_iter=50)), X, Y),
    "ridge": (make_pipeline(StandardScaler(), Ridge()), X, Y),
    "regression network": (make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(16,), max_iter=20, random_state=0)), X, Y),
    "trees": (RandomForestClassifier(5, random_state=0), X, Y),
}


def answers(model, x):
    """What the graph says as it is written: ONNX Runtime's own 8-bit products saturate on processors without VNNI, TensorRT's don't."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})


def apart(model, reference, x):
    """The largest difference of numbers, and the share of labels that differ."""
    return difference(answers(model, x), reference)


def difference(found, reference):
    pairs = list(zip(found, reference, strict=True))
    assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
    labels = [float((a != b).mean()) for a, b in pairs if a.dtype == np.int64]
    return {"numbers": max(float(abs(a - b).max()) for a, b in pairs if a.dtype == np.float32), "labels": max(labels, default=0.0)}


def served():
    """The largest weight of the 8-bit form that processors serve, and how far fused products are from the graph as written."""
    model, x, y = MODELS["network"]
    exported = next(one.proto for one in attempts(model.fit(x, y), pd.DataFrame(x), (), Task.CLASSIFICATION) if one.proto)
    rows = x.to_numpy("float32")
    with tempfile.TemporaryDirectory() as folder:
        plain, out = Path(folder, "plain.onnx"), Path(folder, "int8.onnx")
        plain.write_bytes(exported.SerializeToString())
        Int8Optimizer().build(plain, out, {"input": rows[:500]})
        form = onnx.load(out)
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in form.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    session = onnxruntime.InferenceSession(form.SerializeToString(), providers=["CPUExecutionProvider"])
    fused = session.run(None, {"input": rows})
    return {"largest": max(int(abs(weight.astype(int)).max()) for weight in weights), "fused": difference(fused, answers(form, rows))}


def main():
    found = {"served": served()}
    for name, (model, x, y) in MODELS.items():
        task = Task.REGRESSION if is_regressor(model) else Task.CLASSIFICATION
        exported = next(one.proto for one in attempts(model.fit(x, y), pd.DataFrame(x), (), task) if one.proto)
        rows = x.to_numpy("float32")
        reference = answers(exported, rows)
        plain = operators.plain(exported)
        onnx.checker.check_model(plain, full_check=True)
        batch = plain.graph.input[0].type.tensor_type.shape.dim[0].dim_param
        found[name] = {"foreign": operators.foreign(plain), "batch": batch, "plain": apart(plain, reference, rows)}
        for precision, quantizer in (("fp16", ""), ("int8", "onnxruntime"), ("fp8", "")):
            try:
                made = forms.form(plain, precision, {"input": rows[:500]}, quantizer)
                operations = sorted({node.op_type for node in made.graph.node})
                found[name][precision] = apart(made, reference, rows) | {"operations": operations}
            except forms.NoForm as error:
                found[name][precision] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
