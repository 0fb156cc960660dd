"""Writes the ONNX files of the tests of brought models; run by the `trainer` runtime: ``make_onnx.py FOLDER``."""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
FLOAT = TensorProto.FLOAT


def value(name, *shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, list(shape))


def model(nodes, weights=None, inputs=None, outputs=None, opset=18, domains=()):
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {"w": WEIGHTS}).items()]
    graph = helper.make_graph(nodes, "g", inputs or [value("x", "n", 4)], outputs or [value("scores", "n", 3)], tensors)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def product(source="x"):
    return helper.make_node("MatMul", [source, "w"], ["scores"])


def main(folder):
    def save(name, made, **options):
        onnx.save(made, str(folder / f"{name}.onnx"), **options)

    save("good", model([product()]))
    softmax = helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1)
    save("odds", model([product(), softmax], outputs=[value("probabilities", "n", 3)]))
    save("single", model([product()], {"w": WEIGHTS[:, :1]}, outputs=[value("scores", "n", 1)]))
    save("number", model([product()], {"w": WEIGHTS[:, :1]}, outputs=[value("scores", "n", 1)]))
    save("two", model([product(), softmax], outputs=[value("scores", "n", 3), value("probabilities", "n", 3)]))
    save("not_a_number", model([product()], {"w": np.where(WEIGHTS > 0, np.nan, WEIGHTS).astype("float32")}))
    save("custom", model([helper.make_node("Magic", ["x"], ["scores"], domain="acme.ops")], domains=["acme.ops"]))
    save("newer", model([product()], opset=99))
    save("fixed", model([product()], inputs=[value("x", 1, 4)], outputs=[value("scores", 1, 3)]))
    # Standardised by the batch, as a network in training mode does.
    mean = helper.make_node("ReduceMean", ["x", "axis"], ["mean"], keepdims=1)
    shifted = helper.make_node("Sub", ["x", "mean"], ["shifted"])
    save("batch", model([mean, shifted, product("shifted")], {"w": WEIGHTS, "axis": np.array([0])}))
    flat = helper.make_node("Reshape", ["x", "shape"], ["flat"])
    save("baked", model([flat, product("flat")], {"w": WEIGHTS, "shape": np.array([1, 4])}))
    parts = [helper.make_node("Concat", ["left", "right"], ["x"], axis=1), product()]
    save("columns", model(parts, inputs=[value("left", "n", 2), value("right", "n", 2)]))
    # One column is ten thousand times as large as the one that decides: no 8 bits hold both.
    coarse = helper.make_node("MatMul", ["hidden", "w"], ["scores"], name="second")
    first = helper.make_node("MatMul", ["x", "scale"], ["hidden"], name="first")
    deciding = np.zeros((4, 3), dtype="float32")
    deciding[0] = WEIGHTS[0]
    scale = np.diag([1, 1e4, 1, 1]).astype("float32")
    save("coarse", model([first, coarse], {"scale": scale, "w": deciding}))
    np.save(folder / "deciding.npy", deciding)
    # A table of five words, of which the scores of a text are the sum.
    taken = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("ReduceSum", ["words", "along"], ["scores"], keepdims=0),
    ]
    words = {"table": np.concatenate([np.zeros((1, 3)), np.eye(3), np.zeros((1, 3))]).astype("float32") * 4, "along": np.array([1])}
    save("words", model(taken, words, inputs=[value("ids", "n", 6, kind=TensorProto.INT64)]))
    external = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    save("external", model([product()]), **external)
    (folder / "junk.onnx").write_bytes(b"this is no protobuf at all")
    (folder / "empty.onnx").write_bytes(b"")
    np.save(folder / "weights.npy", WEIGHTS)


main(Path(sys.argv[1]))
