"""What is said where nothing can be built. Building itself: tests/include/steps/test_tensorrt_plans.py."""

import pynvml
import pytest

from include.errors import ComponentError
from include.tensorrt import build
from include.tensorrt.gpu import Gpu as Visible
from include.tensorrt.plan import Batches
from tests.include.inventory.fake_driver import Driver, Gpu


@pytest.fixture
def driver(monkeypatch):
    driver = Driver(Gpu())
    monkeypatch.setattr(pynvml, "nvmlLib", driver)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return driver


def test_without_a_gpu_the_command_says_so(driver, tmp_path, capsys):
    driver.loaded = False
    assert build.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == "CUDA_VISIBLE_DEVICES: no NVIDIA GPU is visible here.\n"


def test_a_folder_without_a_plan_is_named(driver, tmp_path, capsys):
    assert build.main([str(tmp_path)]) == 1
    assert f"{tmp_path}/plan.json: describes no plan" in capsys.readouterr().err


def test_without_tensorrt_the_remedy_is_its_runtime(tmp_path):
    with pytest.raises(ComponentError, match="make install-tensorrt"):
        build.build(tmp_path / "model.onnx", tmp_path, Visible("NVIDIA L4", (8, 9)), "fp16", Batches(8), None, 64)
    assert not list(tmp_path.iterdir())
