from pathlib import Path

import pytest

from include.bundles.signature import Signature, Tensor
from include.errors import InputError

SIGNATURE = Signature(
    (Tensor("colour", "BYTES", (-1, 1)), Tensor("size", "FP32", (-1, 1))),
    (Tensor("label", "INT64", (-1, 1)), Tensor("probabilities", "FP32", (-1, 2))),
    ("colour", "size"),
    (0, 1),
)


def test_it_survives_its_file(tmp_path: Path) -> None:
    SIGNATURE.save(tmp_path / "signature.json")
    assert Signature.read(tmp_path / "signature.json") == SIGNATURE


def test_an_unknown_datatype_is_refused() -> None:
    with pytest.raises(InputError, match="FLOAT"):
        Tensor("a", "FLOAT", (-1,))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"inputs": [{"name": "a"}], "outputs": []}'])
def test_a_broken_file_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "signature.json").write_text(content)
    with pytest.raises(InputError, match=r"signature\.json"):
        Signature.read(tmp_path / "signature.json")


def test_mlflow_gets_named_tensors_of_the_same_types() -> None:
    schema = SIGNATURE.to_mlflow()
    assert [(spec.name, spec.shape) for spec in schema.inputs.inputs] == [("colour", (-1, 1)), ("size", (-1, 1))]
    assert [str(spec.type) for spec in schema.outputs.inputs] == ["int64", "float32"]


def test_tensors_are_found_by_name() -> None:
    assert SIGNATURE.input("size").dtype == "float32" and SIGNATURE.output("label").datatype == "INT64"
    with pytest.raises(KeyError):
        SIGNATURE.input("label")
