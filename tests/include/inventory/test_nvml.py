"""The NVML adapter over pynvml itself; below it stands a driver that is none (fake_driver.py): there is no GPU to ask."""

import os
import subprocess
import sys

import pynvml
import pytest

from include.errors import ComponentError
from include.inventory.nvml import Nvml
from include.inventory.nvml_topology import Topology
from include.pool.ask import Ask
from tests.include.inventory.fake_driver import Driver, Gpu


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()
    monkeypatch.setattr(pynvml, "nvmlLib", driver)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return driver


def devices(nvml):
    (node,) = nvml.read()
    return node.devices


def only(nvml):
    (device,) = devices(nvml)
    return device


def test_a_gpu_is_told_with_its_model_memory_and_readings(driver):
    driver.gpus = [Gpu(uuid="GPU-7", used=2000)]
    (node,) = Nvml("rack1", sharing="mps").read()
    device = node.devices[0]
    assert node.name == "rack1"
    assert (device.uuid, device.index, device.model, device.memory_mib, device.sharing) == ("GPU-7", 0, "H100-80GB", 81559, "mps")
    assert device.readings == {
        "utilisation_pct": 37,
        "temperature_c": 41,
        "power_w": 118.5,
        "power_limit_w": 700,
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "ecc_errors": 0,
    }
    assert (device.failed, device.mig, device.parent) == ("", "", "")


def test_gpus_keep_the_drivers_order(driver):
    driver.gpus = [Gpu(uuid="GPU-b"), Gpu(uuid="GPU-a", name="Tesla T4", total=15360)]
    assert [(device.index, device.uuid, device.model) for device in devices(Nvml("n"))] == [(0, "GPU-b", "H100-80GB"), (1, "GPU-a", "T4")]


def test_used_memory_holds_what_is_reserved(driver):
    driver.gpus = [Gpu(reserved=551, used=10_000, compute=[(1, 9_990)])]
    device = only(Nvml("n"))
    assert device.used_mib == 10_551
    assert device.reserved_mib == 551 + 10  # ten that no process is listed with: the driver's own


def test_an_idle_gpu_offers_all_but_the_drivers_own(driver):
    driver.gpus = [Gpu(reserved=551, used=4)]
    device = only(Nvml("n"))
    assert device.used_mib == device.reserved_mib == 555


def test_memory_that_nobody_is_listed_with_is_somebodys(driver):
    """A process in another container, which the driver doesn't list here: more than any driver takes for itself."""
    driver.gpus = [Gpu(reserved=551, used=20_000)]
    device = only(Nvml("n"))
    assert device.used_mib - device.reserved_mib == 20_000 - 128


def test_an_old_driver_says_less(driver):
    driver.gpus, driver.old = [Gpu(reserved=551, used=4)], True
    device = only(Nvml("n"))
    assert (device.used_mib, device.reserved_mib, device.readings["temperature_c"]) == (555, 555, 41)


@pytest.mark.parametrize(
    ("function", "reading"),
    [
        ("UtilizationRates", "utilisation_pct"),
        ("PowerUsage", "power_w"),
        ("EnforcedPowerLimit", "power_limit_w"),
        ("TotalEccErrors", "ecc_errors"),
    ],
)
@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION, pynvml.NVML_ERROR_UNKNOWN])
def test_what_a_gpu_does_not_tell_is_left_out(driver, function, reading, error):
    driver.gpus = [Gpu(errors={function: error})]
    device = only(Nvml("n"))
    assert reading not in device.readings
    assert len(device.readings) == 6


def test_a_gpu_that_lists_no_processes_is_still_told(driver):
    refused = pynvml.NVML_ERROR_NO_PERMISSION
    driver.gpus = [Gpu(errors={"ComputeRunningProcesses_v3": refused, "GraphicsRunningProcesses_v3": refused})]
    assert only(Nvml("n")).processes == ()


# processes


@pytest.fixture
def holder():
    """A process that says which lease it belongs to."""
    environment = os.environ | {"UPDRAFT_GPU_LEASE": "1ea5e"}
    code = "print('here', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code, "--secret"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline()  # before it is Python it has the name of who started it
    yield process
    process.communicate(b"\n", timeout=10)


def test_a_process_is_known_by_its_lease_and_short_name(driver, holder):
    driver.gpus = [Gpu(used=3000, compute=[(holder.pid, 2500)])]
    (process,) = only(Nvml("n")).processes
    assert (process.pid, process.memory_mib, process.lease) == (holder.pid, 2500, "1ea5e")
    assert process.name.startswith("python") and "secret" not in process.name


def test_a_stranger_and_one_that_has_ended_have_no_lease(driver):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    driver.gpus = [Gpu(compute=[(os.getpid(), 10), (ended.pid, 20)])]
    assert [(process.memory_mib, process.lease) for process in sorted(only(Nvml("n")).processes, key=lambda one: one.memory_mib)] == [
        (10, ""),
        (20, ""),
    ]


def test_a_process_cannot_spoil_the_report_by_its_name(driver):
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'a\\x1b[31m\\n\\xffb', 0, 0, 0); print(flush=True); input()"
    environment = os.environ | {"UPDRAFT_GPU_LEASE": "1\x07e"}
    vandal = subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    vandal.stdout.readline()
    driver.gpus = [Gpu(compute=[(vandal.pid, 10)])]
    (process,) = only(Nvml("n")).processes
    vandal.communicate(b"\n", timeout=10)
    assert (process.name, process.lease) == ("a?[31m?\ufffdb", "1?e")


def test_a_process_that_computes_and_draws_counts_once(driver):
    driver.gpus = [Gpu(compute=[(1, 500)], graphics=[(1, 520), (2, 30)])]
    assert [(process.pid, process.memory_mib) for process in only(Nvml("n")).processes] == [(1, 520), (2, 30)]


def test_a_process_of_unknown_memory_is_listed(driver):
    driver.gpus = [Gpu(compute=[(1, None)])]
    assert [process.memory_mib for process in only(Nvml("n")).processes] == [None]


# MIG


def test_a_gpu_in_mig_mode_is_replaced_by_its_instances(driver):
    halves = [
        Gpu(uuid="MIG-a", name="NVIDIA H100 80GB HBM3 MIG 3g.40gb", total=40448, reserved=0, used=30, compute=[(1, 20)]),
        Gpu(uuid="MIG-b", name="NVIDIA H100 80GB HBM3 MIG 3g.40gb", total=40448, reserved=0, used=0),
    ]
    driver.gpus = [Gpu(uuid="GPU-0", mig=halves), Gpu(uuid="GPU-1")]
    found = devices(Nvml("n"))
    assert [(d.index, d.uuid, d.mig, d.parent, d.model, d.memory_mib) for d in found] == [
        (0, "MIG-a", "3g.40gb", "GPU-0", "H100-80GB", 40448),
        (1, "MIG-b", "3g.40gb", "GPU-0", "H100-80GB", 40448),
        (2, "GPU-1", "", "", "H100-80GB", 81559),
    ]
    assert [process.pid for process in found[0].processes] == [1]
    assert "utilisation_pct" not in found[0].readings and found[0].readings["temperature_c"] == 41


def test_a_profile_that_the_name_does_not_tell_comes_from_the_slices(driver):
    driver.gpus = [Gpu(mig=[Gpu(uuid="MIG-a", name="NVIDIA A100", total=9856, slices=1)])]
    assert only(Nvml("n")).mig == "1g.10gb"


def test_mig_mode_without_instances_is_shown_and_offers_nothing(driver):
    driver.gpus = [Gpu(mig=[])]
    device = only(Nvml("n"))
    assert device.uuid == "GPU-1" and "no instance is cut" in device.failed


@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_a_gpu_whose_memory_is_not_told_is_shown_as_one_of_unknown_memory(driver, error):
    driver.gpus = [Gpu(name="NVIDIA GB10", errors={"MemoryInfo": error, "MemoryInfo_v2": error})]
    device = only(Nvml("n", sharing="mps"))
    assert (device.model, device.memory_mib, device.unknown, device.sharing, device.failed) == ("GB10", 0, ("memory",), "", "")


def test_an_instance_whose_parent_withholds_its_memory_is_offered_by_its_profile(driver):
    withheld = dict.fromkeys(("MemoryInfo", "MemoryInfo_v2"), pynvml.NVML_ERROR_NO_PERMISSION)
    driver.gpus = [Gpu(errors=withheld, mig=[Gpu(uuid="MIG-a", name="NVIDIA A100 MIG 2g.20gb", errors=withheld)])]
    device = only(Nvml("n"))
    assert (device.uuid, device.mig, device.memory_mib, device.unknown) == ("MIG-a", "2g.20gb", 20 * 1024, ("memory",))


@pytest.mark.parametrize("function", ["MigDeviceHandleByIndex", "MemoryInfo", "UUID"])
def test_a_gpu_that_could_never_be_read_is_shown_as_failed(driver, function):
    error = dict.fromkeys((function, f"{function}_v2"), pynvml.NVML_ERROR_UNKNOWN)
    driver.gpus = [Gpu(uuid="GPU-0"), Gpu(uuid="GPU-1", errors=error, mig=[Gpu(uuid="MIG-a", name="NVIDIA A100 MIG 1g.5gb")])]
    sound, sick = devices(Nvml("n"))
    assert not sound.failed and "can't reach it" in sick.failed and sick.memory_mib == 0


@pytest.mark.parametrize("profile", ["1g.10gb+me", "1g.24gb+me.all", "1g.24gb-me", "1c.3g.20gb", "2g.10gb+gfx"])
def test_each_profile_of_the_driver_can_be_asked_for(driver, profile):
    driver.gpus = [Gpu(mig=[Gpu(uuid="MIG-a", name=f"NVIDIA RTX MIG {profile}")])]
    assert only(Nvml("n")).mig == profile == Ask.from_json({"mig": profile}).mig


@pytest.mark.parametrize("function", ["MigMode", "MaxMigDeviceCount", "MigDeviceHandleByIndex"])
def test_instances_that_can_not_be_listed_once_stay(driver, function):
    gpu = Gpu(mig=[Gpu(uuid="MIG-a", name="NVIDIA A100 MIG 1g.5gb")])
    driver.gpus = [gpu]
    nvml = Nvml("n")
    before = only(nvml)
    gpu.errors = {function: pynvml.NVML_ERROR_UNKNOWN}
    assert only(nvml) == before


def test_a_gpu_or_driver_that_knows_no_mig_is_whole(driver):
    driver.gpus = [Gpu(uuid="GPU-0", name="Tesla T4", total=15360), Gpu(errors={"MigMode": pynvml.NVML_ERROR_FUNCTION_NOT_FOUND})]
    assert [device.mig for device in devices(Nvml("n"))] == ["", ""]


# faults


@pytest.mark.parametrize("xid", [48, 74, 79, 95])
def test_a_critical_xid_fails_the_gpu_for_good(driver, xid):
    sound, sick = Gpu(uuid="GPU-0"), Gpu(uuid="GPU-1")
    driver.gpus = [sound, sick]
    nvml = Nvml("n")
    nvml.read()
    driver.events = [(sick, xid)]
    for _ in range(2):
        assert [device.failed.partition(",")[0] for device in devices(nvml)] == ["", f"Xid {xid}"]


def test_its_mig_instances_fail_with_it(driver):
    gpu = Gpu(mig=[Gpu(uuid="MIG-a", name="NVIDIA A100 MIG 1g.5gb")])
    driver.gpus = [gpu]
    nvml = Nvml("n")
    nvml.read()
    driver.events = [(gpu, 79)]
    assert "Xid 79" in only(nvml).failed


@pytest.mark.parametrize("xid", [13, 31, 43, 45, 68, 109, 63, 92, 94])
def test_an_xid_that_leaves_the_gpu_sound_does_not(driver, xid):
    gpu = Gpu()
    driver.gpus = [gpu]
    nvml = Nvml("n")
    nvml.read()
    driver.events = [(gpu, xid)]
    assert only(nvml).failed == ""


def test_a_gpu_that_announces_nothing_is_told_all_the_same(driver):
    driver.gpus = [Gpu(announces=False)]
    assert only(Nvml("n")).failed == ""
    assert driver.listening == set()


def test_a_gpu_that_is_lost_is_told_as_failed_beside_the_others(driver):
    gone = Gpu(uuid="GPU-0", compute=[(1, 500)])
    driver.gpus = [gone, Gpu(uuid="GPU-1")]
    nvml = Nvml("n")
    nvml.read()
    gone.lost = True
    first, second = devices(nvml)
    assert (first.uuid, first.memory_mib, first.processes) == ("GPU-0", 81559, ())
    assert "can't reach it" in first.failed
    assert (second.uuid, second.failed) == ("GPU-1", "")


def test_a_gpu_that_is_lost_takes_its_instances_along(driver):
    gpu = Gpu(mig=[Gpu(uuid="MIG-a", name="NVIDIA A100 MIG 1g.5gb"), Gpu(uuid="MIG-b", name="NVIDIA A100 MIG 1g.5gb")])
    driver.gpus = [gpu]
    nvml = Nvml("n")
    nvml.read()
    gpu.mig[1].lost = True
    assert [(device.uuid, bool(device.failed)) for device in devices(nvml)] == [("MIG-a", True), ("MIG-b", True)]


def test_a_gpu_that_the_driver_no_longer_lists_is_told_as_failed_soon(driver):
    driver.gpus = [Gpu(uuid="GPU-0"), Gpu(uuid="GPU-1")]
    nvml = Nvml("n")
    nvml.read()
    driver.gpus.pop()
    told = [[bool(device.failed) for device in devices(nvml)] for _ in range(3)]
    assert told == [[False, False], [False, False], [False, True]]


def test_a_driver_reloaded_without_one_gpu_keeps_the_others(driver):
    driver.gpus = [Gpu(uuid="GPU-0"), Gpu(uuid="GPU-1"), Gpu(uuid="GPU-2")]
    nvml = Nvml("n")
    nvml.read()
    nvml.close()
    driver.gpus.pop(0)
    for _ in range(5):
        found = devices(nvml)
        assert [device.index for device in found] == [0, 1, 2]
        assert len({device.uuid for device in found}) == 3
        assert {device.uuid for device in found if not device.failed} >= {"GPU-1", "GPU-2"}
    assert {device.uuid: device.failed for device in found}["GPU-0"] == "the driver no longer lists it"


def test_a_gpu_that_tells_no_uuid_is_the_one_that_was_there(driver):
    first, second = Gpu(uuid="GPU-0"), Gpu(uuid="GPU-1")
    driver.gpus = [first, second]
    nvml = Nvml("n")
    nvml.read()
    first.errors = {"UUID": pynvml.NVML_ERROR_GPU_IS_LOST}
    assert [(device.uuid, bool(device.failed)) for device in devices(nvml)] == [("GPU-0", True), ("GPU-1", False)]


def test_a_reading_that_fails_once_costs_nobody_a_lease(driver):
    gpu = Gpu(compute=[(1, 500)])
    driver.gpus = [gpu]
    nvml = Nvml("n")
    before = only(nvml)
    for _ in range(5):
        gpu.errors = {"UUID": pynvml.NVML_ERROR_UNKNOWN}
        assert only(nvml) == before
        gpu.errors = {}
        assert only(nvml) == before


def test_a_gpu_that_must_be_reset_is_failed_at_once(driver):
    gpu = Gpu()
    driver.gpus = [gpu]
    nvml = Nvml("n")
    nvml.read()
    gpu.errors = {"UUID": pynvml.NVML_ERROR_RESET_REQUIRED}
    assert only(nvml).failed


def test_it_comes_back_when_it_can_be_read_again(driver):
    gpu = Gpu()
    driver.gpus = [gpu]
    nvml = Nvml("n")
    nvml.read()
    gpu.lost = True
    assert only(nvml).failed
    gpu.lost = False
    assert not only(nvml).failed


def test_a_driver_that_goes_is_no_report_and_its_return_is_one(driver):
    driver.gpus = [Gpu()]
    nvml = Nvml("n")
    nvml.read()
    driver.loaded = False
    with pytest.raises(ComponentError, match="nvidia-smi"):
        nvml.read()
    driver.loaded = True
    assert only(nvml).uuid == "GPU-1"
    assert driver.listening == {"GPU-1"}


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a driver here")
def test_without_a_driver_the_error_says_where_to_look():
    with pytest.raises(ComponentError, match=r"NVML.*nvidia-smi"):
        Nvml("n").read()


def test_linked_gpus_are_an_island_and_each_knows_its_numa_node(driver, tmp_path):
    """Two linked pairs with one link across: an island is of GPUs of which every two are linked."""
    links = {"0": {"1"}, "1": {"0", "2"}, "2": {"1", "3"}, "3": {"2"}, "4": set()}
    driver.gpus = [Gpu(uuid=name, bus=f"00000000:0{name}:00.0", linked=linked) for name, linked in links.items()]
    for name in "0123":
        (tmp_path / f"0000:0{name}:00.0").mkdir()
        (tmp_path / f"0000:0{name}:00.0" / "numa_node").write_text(f"{int(name) // 2}\n")
    nvml = Nvml("n")
    nvml._topology = Topology(pynvml, tmp_path)
    assert [(device.island, device.numa) for device in devices(nvml)] == [("0", 0), ("0", 0), ("1", 1), ("1", 1), ("", -1)]


def test_a_driver_that_tells_no_links_has_none(driver):
    driver.gpus = [Gpu(uuid=name, errors={"P2PStatus": pynvml.NVML_ERROR_NOT_SUPPORTED}) for name in "ab"]
    assert [device.island for device in devices(Nvml("n"))] == ["", ""]
