from dataclasses import replace

import pytest

from include.errors import InputError
from include.tensorrt.gpu import Gpu
from include.tensorrt.plan import Batches, Key, Sheet, sha256

KEY = Key(Gpu("NVIDIA L4", (8, 9)), "11.4.0")


@pytest.fixture
def built(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    (tmp_path / "model.plan").write_bytes(b"plan")
    sheet = Sheet(KEY, "fp16", Batches(64, (1, 16)), 1024, sha256(tmp_path / "model.onnx"), sha256(tmp_path / "model.plan"))
    return sheet, tmp_path / "model.plan", tmp_path / "model.onnx"


def test_a_sheet_is_read_as_it_was_written(built, tmp_path):
    built[0].save(tmp_path / "plan.json")
    assert Sheet.read(tmp_path / "plan.json") == built[0]


@pytest.mark.parametrize("text", ["", "{}", '{"key": 3}', "[]"])
def test_what_is_no_sheet_is_refused_by_name(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(InputError, match=r"plan\.json: describes no plan"):
        Sheet.read(tmp_path / "plan.json")


def test_a_plan_is_good_where_it_was_built(built):
    sheet, plan, onnx = built
    assert sheet.unfit(KEY, plan, onnx) == ""


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (replace(KEY, gpu=Gpu("NVIDIA T4", (7, 5))), "built on NVIDIA L4 (compute capability 8.9), and this is NVIDIA T4"),
        (replace(KEY, gpu=Gpu("NVIDIA L4", (9, 0))), "this is NVIDIA L4 (compute capability 9.0)"),
        (replace(KEY, tensorrt="10.9.0"), "built by TensorRT 11.4.0, and this is 10.9.0"),
    ],
)
def test_a_plan_of_another_gpu_or_version_is_not(built, key, why):
    sheet, plan, onnx = built
    assert why in sheet.unfit(key, plan, onnx)


def test_a_changed_file_is_not_what_was_built(built):
    sheet, plan, onnx = built
    plan.write_bytes(b"another")
    assert "not the one that was built" in sheet.unfit(KEY, plan, onnx)


def test_a_plan_of_another_model_is_refused(built):
    sheet, plan, onnx = built
    onnx.write_bytes(b"another")
    assert "another model" in sheet.unfit(KEY, plan, onnx)


def test_every_preferred_batch_has_its_profile():
    assert Batches(64).profiles == (64,)
    assert [Batches(64, (1, 16)).profile_of(rows) for rows in (1, 8, 9, 64)] == [0, 0, 1, 1]


def test_timing_caches_of_different_gpus_have_different_names():
    assert len({key.slug() for key in (KEY, replace(KEY, gpu=Gpu("NVIDIA L40", (8, 9))), replace(KEY, tensorrt="10.9"))}) == 3
