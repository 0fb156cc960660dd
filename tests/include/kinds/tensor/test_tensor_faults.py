"""What contradicts itself in the spec of a model of named tensors, and the files that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from include.errors import InputError
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.kinds.tensor import onnx_file
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.table import check
from include.spec.problem import SpecError

SERVING = "class Wrapper:\n    def __init__(self, params): pass\n"
GOOD: dict[str, Any] = {
    "name": "thing",
    "kind": "tensor",
    "task": "classification",
    "base": "model.onnx",
    "data": {"source": "rows.csv", "target": "y"},
}


def written(home: Path, **changed: Any) -> Path:
    folder = home / "thing"
    folder.mkdir()
    for name, text in {"rows.csv": "a,y\n1,0\n", "expectations.yaml": "", "model.onnx": "x", "serving.py": SERVING}.items():
        (folder / name).write_text(text)
    (folder / "model.yaml").write_text(yaml.safe_dump(GOOD | changed))
    return folder / "model.yaml"


def test_a_spec_that_fits_is_loaded_with_its_defaults(tmp_path: Path) -> None:
    spec = load(written(tmp_path))
    assert spec.kind == "tensor" and spec.serve.backend == "triton" and spec.serve.kind == "tensor"
    assert [str(method) for method in spec.optimize.methods] == ["graph", "int8"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"base": "../model.onnx"}, "leaves the model's folder"),
        ({"base": "/etc/model.onnx"}, "leaves the model's folder"),
        ({"base": "model.pt"}, "is no .onnx file"),
        ({"base": "modle.onnx"}, "Did you mean `model.onnx`"),
        ({"base": None}, "there is no train.py"),
        ({"data": GOOD["data"] | {"classes": [0, "1"]}}, "mixes numbers and texts"),
        ({"data": GOOD["data"] | {"classes": [0, 1, 1]}}, "names 1 twice"),
        ({"task": "regression", "data": GOOD["data"] | {"classes": [0, 1]}}, "belongs to `task: classification`"),
        ({"data": GOOD["data"] | {"images": {"photo": {}}}}, "nothing turns pictures into the model's tensors"),
        ({"data": GOOD["data"] | {"images": {"y": {}}}, "serve": {"wrapper": "serving:Wrapper"}}, "is no column that the model sees"),
        ({"data": GOOD["data"] | {"production": {"days": 7}}}, "is of `kind: table`"),
        ({"optimize": {"methods": ["tensorrt_fp16"]}}, "optimize.methods"),
        ({"optimize": {"tensorrt": {"required": True}}}, "optimize.tensorrt: is of `kind: table`"),
        ({"optimize": {"resources": {"gpus": 1}}}, "optimize.resources: asks for a GPU"),
        ({"serve": {"backend": "vllm"}}, "serve"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        load(written(tmp_path, **changed))
    assert says in str(refused.value)


def test_a_link_is_no_file_of_the_model_s(tmp_path: Path) -> None:
    path = written(tmp_path)
    (path.parent / "model.onnx").unlink()
    (path.parent / "model.onnx").symlink_to("/etc/hostname")
    with pytest.raises(SpecError, match="is a symbolic link"):
        load(path)


def test_pictures_change_what_extract_finds_and_so_does_the_source_of_a_run(tmp_path: Path) -> None:
    path = written(tmp_path, data=GOOD["data"] | {"images": {"a": {}}}, serve={"wrapper": "serving:Wrapper"})
    folder, own = path.parent, tmp_path / "own.csv"
    spec = load(path)
    assert set(kind_of(spec).sources("extract", spec, folder, {})) == {folder, folder / "rows.csv"}
    assert set(kind_of(spec).sources("extract", spec, folder, {"data_source": str(own)})) == {folder, own}


def test_a_file_of_more_than_a_graph_can_hold_is_told_what_helps(tmp_path: Path) -> None:
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(onnx_file.MAX_BYTES + 1)
    with pytest.raises(InputError, match=r"has 2\.0 GiB.*with weights of half the size"):
        onnx_file.read(tmp_path, "model.onnx")


def test_the_platforms_own_column_is_refused_in_a_source(tmp_path: Path) -> None:
    spec = load(written(tmp_path))
    assert isinstance(spec, TensorSpec)
    table = pd.DataFrame({"a": range(20), "y": [0, 1] * 10, "updraft_origin": ["shop"] * 20})
    with pytest.raises(InputError, match="updraft_origin is the platform's own column"):
        check(table, spec)
