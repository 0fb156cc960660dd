"""A cut at its outermost edge: what NVML tells of instances' places, and the command lines. No card in MIG mode was ever cut by these."""

import pynvml
import pytest

from include.errors import ComponentError
from include.inventory.mig_cutter import commands
from include.inventory.nvml import Nvml
from include.pool.state import RECUT_LABEL, Device, GpuCut, Process
from tests.include.inventory.fake_driver import Driver, Gpu

HELD = Device("MIG-a", 0, "H100-80GB", 40448, mig="3g.40gb", parent="GPU-0", first_slice=1)
IDLE = [Device(f"MIG-{n}", n, "H100-80GB", 9856, mig="1g.10gb", parent="GPU-0", first_slice=n + 4) for n in (1, 2)]
CUT = GpuCut("GPU-0", ("MIG-1", "MIG-2"), (("2g.20gb", 5),), "", 0.0)
IDS = {"MIG-a": 1, "MIG-1": 9, "MIG-2": 11}


def test_instances_go_with_what_computes_on_them_and_new_ones_come_at_their_place():
    assert [" ".join(command) for command in commands(CUT, [HELD, *IDLE], IDS)] == [
        "nvidia-smi mig -dci -i GPU-0 -gi 9",
        "nvidia-smi mig -dgi -i GPU-0 -gi 9",
        "nvidia-smi mig -dci -i GPU-0 -gi 11",
        "nvidia-smi mig -dgi -i GPU-0 -gi 11",
        "nvidia-smi mig -cgi 2g.20gb:4 -C -i GPU-0",
    ]


def test_a_cut_that_stopped_half_way_is_ended_and_a_finished_one_does_nothing():
    new = Device("MIG-9", 1, "H100-80GB", 20000, mig="2g.20gb", parent="GPU-0", first_slice=5)
    assert [command[2] for command in commands(CUT, [HELD, IDLE[1]], IDS)] == ["-dci", "-dgi", "-cgi"]
    assert [command[2] for command in commands(CUT, [HELD], IDS)] == ["-cgi"]
    assert commands(CUT, [HELD, new], IDS) == []


@pytest.mark.parametrize(
    "change", [{"processes": (Process(7, "python", 100),)}, {"unknown": ("processes",)}], ids=["in use", "processes unknown"]
)
def test_nothing_is_done_where_an_instance_may_be_in_use(change):
    busy = Device(**{**vars(IDLE[1]), **change})
    with pytest.raises(ComponentError, match="in use"):
        commands(CUT, [HELD, IDLE[0], busy], IDS)


def test_nothing_is_done_where_the_driver_does_not_tell_the_instance():
    with pytest.raises(ComponentError, match="root"):
        commands(CUT, [HELD, *IDLE], {"MIG-1": 9})


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()
    monkeypatch.setattr(pynvml, "nvmlLib", driver)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    smalls = [
        Gpu(uuid=f"MIG-{n}", name="NVIDIA H100 80GB HBM3 MIG 1g.10gb", total=9856, reserved=0, used=0, instance=(n, n)) for n in (5, 6)
    ]
    driver.gpus = [Gpu(uuid="GPU-0", mig=smalls)]
    return driver


def test_nvml_tells_where_instances_lie_and_the_node_says_that_it_may_be_cut(driver):
    (node,) = Nvml("n", recut=True).read()
    assert [device.first_slice for device in node.devices] == [6, 7]
    assert node.labels[RECUT_LABEL] == "true"
    driver.gpus[0].mig[0].instance = None
    (node,) = Nvml("n").read()
    assert [device.first_slice for device in node.devices] == [0, 7]
    assert RECUT_LABEL not in node.labels


def test_a_node_whose_owner_does_not_allow_it_is_not_cut(driver):
    ran = []
    with pytest.raises(ComponentError, match="--recut"):
        Nvml("n", run=ran.append).cut("n", GpuCut("GPU-0", ("MIG-5",), (("1g.20gb", 5),), "", 0.0))
    Nvml("n", recut=True, run=ran.append).cut("n", GpuCut("GPU-0", ("MIG-5",), (("1g.20gb", 5),), "", 0.0))
    assert ran[-1] == ["nvidia-smi", "mig", "-cgi", "1g.20gb:4", "-C", "-i", "GPU-0"]
