"""Writes the bundles of the serving and gateway tests; run by the `trainer` runtime: ``make_bundles.py FOLDER``."""

import json
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FEATURES, CLASSES, ROWS = 8, 3, 10

WRAPPER = '''
import os
import random
import time


class Wrapper:
    """Fails on a first feature of 666, waits for `sleep_s`, and takes its time to load."""

    def __init__(self, params):
        self.sleep_s = params.get("sleep_s", 0)
        self.error_rate = params.get("error_rate", 0)
        time.sleep(params.get("load_s", 0))
        if params.get("die"):
            os.kill(os.getpid(), 9)

    def before(self, inputs):
        if (inputs["input"][:, 0] == 666).any():
            raise RuntimeError("the number of the beast")
        if random.random() < self.error_rate:
            raise RuntimeError("bad luck")
        time.sleep(self.sleep_s)
        return inputs

    def after(self, outputs):
        return outputs
'''


def model(weights):
    nodes = [
        helper.make_node("MatMul", ["input", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, FEATURES])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None, 1]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, CLASSES]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    return made


def tensor(name, datatype, array):
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.ravel().tolist()}


def bundle(folder, served, reference, inputs):
    folder.mkdir(parents=True)
    save(model(served), str(folder / "model.onnx"))
    scores = inputs @ reference
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    golden = {
        "inputs": [tensor("input", "FP32", inputs)],
        "outputs": [
            tensor("label", "INT64", scores.argmax(axis=1)[:, None]),
            tensor("probabilities", "FP32", odds / odds.sum(axis=1, keepdims=True)),
        ],
        "tolerance": {"absolute": 1e-5, "relative": 1e-4},
        "classes": [0, 1, 2],
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    signature = {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, FEATURES]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1, 1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, CLASSES]},
        ],
    }
    (folder / "signature.json").write_text(json.dumps(signature))
    (folder / "code").mkdir()
    (folder / "code" / "serving.py").write_text(WRAPPER)


def text_bundle(folder):
    """A model that answers its text input as it is."""
    folder.mkdir(parents=True)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["word"], ["label"])],
        "echo",
        [helper.make_tensor_value_info("word", TensorProto.STRING, [None, 1])],
        [helper.make_tensor_value_info("label", TensorProto.STRING, [None, 1])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    save(made, str(folder / "model.onnx"))
    words = {"datatype": "BYTES", "shape": [2, 1], "data": ["größer", "smaller"]}
    golden = {"inputs": [{"name": "word", **words}], "outputs": [{"name": "label", **words}], "tolerance": {"absolute": 0}}
    (folder / "golden.json").write_text(json.dumps(golden))
    signature = {
        "inputs": [{"name": "word", "datatype": "BYTES", "shape": [-1, 1]}],
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1, 1]}],
    }
    (folder / "signature.json").write_text(json.dumps(signature))


def mixed_bundle(folder):
    """A model of columns of every type, which answers what it saw; of a missing number -1."""
    folder.mkdir(parents=True)
    kinds = {"plan": "STRING", "tenure": "INT64", "größe": "FLOAT", "note": "STRING"}
    inputs = [helper.make_tensor_value_info(name, getattr(TensorProto, kind), [None, 1]) for name, kind in kinds.items() if name != "note"]
    nodes = [
        helper.make_node("IsNaN", ["größe"], ["gone"]),
        helper.make_node("Where", ["gone", "less", "größe"], ["size"]),
        helper.make_node("Identity", ["plan"], ["label"]),
        helper.make_node("Identity", ["tenure"], ["months"]),
        helper.make_node("Concat", ["size", "size"], ["probabilities"], axis=1),
    ]
    outputs = [("label", "STRING", 1), ("months", "INT64", 1), ("probabilities", "FLOAT", 2)]
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "mixed",
            inputs,
            [helper.make_tensor_value_info(name, getattr(TensorProto, kind), [None, width]) for name, kind, width in outputs],
            [numpy_helper.from_array(np.array([[-1]], dtype=np.float32), "less")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 9
    save(made, str(folder / "model.onnx"))
    wire = {"STRING": "BYTES", "INT64": "INT64", "FLOAT": "FP32"}
    signature = {
        "inputs": [{"name": n, "datatype": wire[k], "shape": [-1, 1], "optional": n == "note"} for n, k in kinds.items()],
        "outputs": [{"name": n, "datatype": wire[k], "shape": [-1, w]} for n, k, w in outputs],
        "features": list(kinds),
        "classes": ["basic", "pro"],
        "limits": {"plan": {"known": ["basic", "pro", 'quoted "one"']}},
        "truths": ["tenure"],
    }
    (folder / "signature.json").write_text(json.dumps(signature))
    row = {"plan": ["pro"], "tenure": [3], "größe": [1.5]}
    said = {"label": ["pro"], "months": [3], "probabilities": [1.5, 1.5]}
    golden = {
        "inputs": [{"name": n, "datatype": wire[kinds[n]], "shape": [1, 1], "data": row[n]} for n in row],
        "outputs": [{"name": n, "datatype": wire[k], "shape": [1, w], "data": said[n]} for n, k, w in outputs],
        "tolerance": {"absolute": 0},
    }
    (folder / "golden.json").write_text(json.dumps(golden))


PICTURES = '''
import numpy as np


class Wrapper:
    """Shows what the network would see."""

    def __init__(self, params):
        pass

    def before(self, inputs):
        small = [np.asarray(image.resize((4, 4)), dtype=np.float32) for image in inputs["photo"]]
        return {"pixels": np.stack(small) / 255}

    def after(self, outputs):
        return outputs
'''


def picture_bundle(folder):
    """A model that answers a picture with what the code before it made of it."""
    folder.mkdir(parents=True)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["pixels"], ["seen"])],
        "seen",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, 4, 4, 3])],
        [helper.make_tensor_value_info("seen", TensorProto.FLOAT, [None, 4, 4, 3])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    save(made, str(folder / "model.onnx"))
    seen = tensor("seen", "FP32", np.zeros((1, 4, 4, 3), dtype=np.float32))
    photo = {"name": "photo", "datatype": "BYTES", "shape": [1, 1], "data": [""]}
    (folder / "golden.json").write_text(json.dumps({"inputs": [photo], "outputs": [seen], "tolerance": {"absolute": 0}}))
    signature = {
        "inputs": [{"name": "photo", "datatype": "BYTES", "shape": [-1, 1]}],
        "outputs": [{"name": "seen", "datatype": "FP32", "shape": [-1, 4, 4, 3]}],
        "features": ["photo"],
        "images": {"photo": {"mode": "RGB", "max_megapixels": 25}},
    }
    (folder / "signature.json").write_text(json.dumps(signature))
    (folder / "code").mkdir()
    (folder / "code" / "serving.py").write_text(PICTURES)


def columns_bundle(folder):
    """A model of one row's columns: whole numbers, numbers, truth values, texts. It adds up the first three and answers the text."""
    folder.mkdir(parents=True)
    kinds = {"tenure": TensorProto.INT64, "price": TensorProto.FLOAT, "active": TensorProto.INT64, "plan": TensorProto.STRING}
    nodes = [
        *(helper.make_node("Cast", [name], [f"f_{name}"], to=TensorProto.FLOAT) for name in ("tenure", "active")),
        helper.make_node("Sum", ["f_tenure", "price", "f_active"], ["prediction"]),
        helper.make_node("Identity", ["plan"], ["label"]),
    ]
    graph = helper.make_graph(
        nodes,
        "columns",
        [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in (("prediction", 1), ("label", TensorProto.STRING))],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    save(made, str(folder / "model.onnx"))
    types = {"tenure": "INT64", "price": "FP32", "active": "INT64", "plan": "BYTES"}
    row = {"tenure": [3], "price": [1.5], "active": [1], "plan": ["pro"]}
    golden = {
        "inputs": [{"name": name, "datatype": kind, "shape": [1, 1], "data": row[name]} for name, kind in types.items()],
        "outputs": [
            {"name": "prediction", "datatype": "FP32", "shape": [1, 1], "data": [5.5]},
            {"name": "label", "datatype": "BYTES", "shape": [1, 1], "data": ["pro"]},
        ],
        "tolerance": {"absolute": 1e-5},
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    signature = {
        "inputs": [{"name": name, "datatype": kind, "shape": [-1, 1]} for name, kind in types.items()],
        "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}, {"name": "label", "datatype": "BYTES", "shape": [-1, 1]}],
        "features": list(types),
        "truths": ["active"],
    }
    (folder / "signature.json").write_text(json.dumps(signature))


def main(folder):
    random = np.random.default_rng(7)
    weights = random.normal(size=(FEATURES, CLASSES)).astype(np.float32)
    inputs = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    bundle(folder / "good", weights, weights, inputs)
    bundle(folder / "zeros", np.zeros_like(weights), weights, inputs)
    bundle(folder / "corrupt", weights, weights, inputs)
    broken = folder / "corrupt" / "model.onnx"
    broken.write_bytes(broken.read_bytes()[:100])
    text_bundle(folder / "text")
    mixed_bundle(folder / "mixed")
    picture_bundle(folder / "pictures")
    columns_bundle(folder / "columns")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
