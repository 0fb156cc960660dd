import json

import pytest

from include.backends.triton.repository import check_repository, render_config, write_repository
from include.backends.triton.spec import TritonServe
from include.bundles.signature import Signature, Tensor
from include.bundles.table import Bundle
from include.errors import InputError

SIGNATURE = Signature((Tensor("input", "FP32", (-1, 8)),), (Tensor("label", "BYTES", (-1, 1)),))


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "serving.py").write_text("class Wrapper: ...")
    (folder / "model.onnx").write_bytes(b"onnx")
    (folder / "signature.json").write_text(json.dumps(SIGNATURE.to_json()))
    golden = {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 8], "data": [0] * 8}],
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}],
        "tolerance": {"absolute": 0},
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    return folder


def test_config_carries_the_signature_without_its_batch_dimension():
    config = render_config("digits", SIGNATURE, TritonServe())
    assert 'input [ { name: "input" data_type: TYPE_FP32 dims: [ 8 ] } ]' in config
    assert 'output [ { name: "label" data_type: TYPE_STRING dims: [ 1 ] } ]' in config


def test_config_carries_the_batching_of_the_spec():
    config = render_config("digits", SIGNATURE, TritonServe(max_batch_size=16, batch_delay_us=700, instances=3))
    assert "max_batch_size: 16" in config
    assert "max_queue_delay_microseconds: 700" in config
    assert "count: 3" in config


def test_the_backend_is_one_word():
    assert 'backend: "onnxruntime"' in render_config("digits", SIGNATURE, TritonServe(), backend="onnxruntime")


def test_a_signature_without_a_batch_is_refused():
    fixed = Signature((Tensor("input", "FP32", (1, 8)),), SIGNATURE.outputs)
    with pytest.raises(InputError, match="first dimension is not the batch"):
        render_config("digits", fixed, TritonServe())


def test_the_repository_does_not_need_the_bundle_any_more(bundle, tmp_path):
    write_repository(Bundle.read(bundle), tmp_path / "repo", "digits", "3", TritonServe(), {})
    for path in sorted(bundle.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    check_repository(tmp_path / "repo", "digits", "3")


def test_a_wrapper_that_the_bundle_does_not_hold_is_refused(bundle, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.py"):
        write_repository(Bundle.read(bundle), tmp_path / "repo", "digits", "3", TritonServe(wrapper="nowhere:Wrapper"), {})


@pytest.mark.parametrize("name", ["model.py", "model.onnx", "serving.json"])
def test_a_missing_file_is_named_before_triton_is_started(bundle, tmp_path, name):
    write_repository(Bundle.read(bundle), tmp_path / "repo", "digits", "3", TritonServe(), {})
    (tmp_path / "repo" / "digits" / "3" / name).unlink()
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        check_repository(tmp_path / "repo", "digits", "3")


@pytest.mark.parametrize("name", ["model.onnx", "signature.json", "golden.json"])
def test_an_incomplete_bundle_is_refused_by_file(bundle, name):
    (bundle / name).write_bytes(b"")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        Bundle.read(bundle)


def test_golden_tensors_of_different_lengths_are_refused(bundle):
    data = json.loads((bundle / "golden.json").read_text())
    data["outputs"][0]["shape"] = [2, 1]
    (bundle / "golden.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="same number of rows"):
        Bundle.read(bundle)


def test_the_digest_changes_with_the_code(bundle):
    before = Bundle.read(bundle).digest()
    (bundle / "code" / "serving.py").write_text("class Wrapper: pass")
    assert Bundle.read(bundle).digest() != before
