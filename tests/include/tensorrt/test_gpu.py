"""Over pynvml itself, with a driver that is none below it."""

import pynvml
import pytest

from include.tensorrt.gpu import Gpu as Visible
from include.tensorrt.gpu import leased, visible
from tests.include.inventory.fake_driver import Driver, Gpu


@pytest.fixture
def driver(monkeypatch):
    driver = Driver(Gpu(uuid="GPU-1"), Gpu(uuid="GPU-2", name="NVIDIA L4", capability=(8, 9)))
    monkeypatch.setattr(pynvml, "nvmlLib", driver)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return driver


def test_it_is_the_first_that_the_lease_names(driver):
    assert visible({"CUDA_VISIBLE_DEVICES": "GPU-2,GPU-1"}) == Visible("NVIDIA L4", (8, 9))


def test_without_a_name_it_is_the_machines_first(driver):
    assert visible({}) == Visible("NVIDIA H100 80GB HBM3", (9, 0))


@pytest.mark.parametrize("named", ["", "declared/here/gpu-0", "GPU-9", "7"])
def test_a_declared_or_absent_one_is_none(driver, named):
    assert visible({"CUDA_VISIBLE_DEVICES": named}) is None


def test_no_driver_is_no_gpu(driver):
    driver.loaded = False
    assert visible({}) is None


def test_a_mig_instance_has_its_profile_in_its_name_and_its_gpus_capability(driver):
    name = "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    instance = Gpu(uuid="MIG-5", name=name, errors={"CudaComputeCapability": pynvml.NVML_ERROR_NOT_SUPPORTED})
    driver.gpus[0].mig = [instance]
    assert visible({"CUDA_VISIBLE_DEVICES": "MIG-5"}) == Visible(name, (9, 0))


def test_without_a_lease_no_gpu_is_ones_own(driver):
    assert leased({}) is None and leased({"UPDRAFT_GPU_LEASE": "1"}) == visible({})
