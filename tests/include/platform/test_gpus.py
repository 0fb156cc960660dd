"""Which GPUs `make up` reports, and how the pool reads in one line; the token and the agent are the journeys' to show."""

import pytest

from include.errors import InputError
from include.inventory.choose import SIMULATED, gpu_here, gpus_here
from include.inventory.local_agent import simulated
from include.platform.gpus import Reporter, local_node, reporter, summary
from include.platform.programs import gpu_agent
from include.runtime.settings import Settings

VARIABLES = ("SOURCE", "INVENTORY", "REPORTER", "SHARING")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(f"UPDRAFT_GPU_{name}", raising=False)


@pytest.mark.skipif(gpus_here() > 0, reason="there is a GPU here")
def test_without_a_gpu_the_shipped_inventory_is_reported():
    assert reporter() == Reporter("simulated", "declared", cluster=False, file=SIMULATED)


@pytest.mark.parametrize(
    "files",
    [
        {"sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n", "sys/bus/pci/devices/0000:01:00.0/class": "0x030200\n"},
        {"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: NVIDIA H100"},
        {"dev/nvmap": ""},
    ],
)
def test_a_gpu_whose_driver_does_not_work_is_a_gpu_all_the_same(tmp_path, files):
    assert not gpu_here(tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert gpu_here(tmp_path)


def test_another_makers_card_and_nvidias_sound_device_are_none(tmp_path):
    for number, (vendor, kind) in enumerate([("0x1002", "0x030000"), ("0x10de", "0x040300")]):
        device = tmp_path / f"sys/bus/pci/devices/{number}"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    assert not gpu_here(tmp_path)


def test_pods_without_a_cluster_have_the_gpus_of_this_machine(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    assert reporter("kubernetes") == reporter()


def test_another_file_of_several_nodes_needs_a_clusters_token(monkeypatch, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("nodes: [{name: a, devices: [{model: T4}]}, {name: b, devices: [{model: L4}]}]")
    monkeypatch.setenv("UPDRAFT_GPU_SOURCE", "declared")
    monkeypatch.setenv("UPDRAFT_GPU_INVENTORY", str(file))
    monkeypatch.setenv("UPDRAFT_GPU_REPORTER", "lab")
    who = reporter()
    assert (who.name, who.cluster, who.file) == ("lab", True, file)


def test_the_two_kinds_of_token_are_kept_apart(tmp_path):
    settings = Settings(home=tmp_path, runtimes=tmp_path, port_base=23000)
    tokens = {Reporter("lab", "declared", cluster=cluster).token(settings) for cluster in (True, False)}
    assert len(tokens) == 2


@pytest.mark.parametrize(("name", "value"), [("SOURCE", "magic"), ("INVENTORY", "/nowhere.yaml"), ("SHARING", "yes")])
def test_a_wrong_value_is_named(monkeypatch, name, value):
    monkeypatch.setenv("UPDRAFT_GPU_SOURCE", "declared")
    monkeypatch.setenv(f"UPDRAFT_GPU_{name}", value)
    with pytest.raises(InputError) as refused:
        reporter()
    assert value in str(refused.value) and refused.value.remedy


def test_the_agents_command_holds_no_token_and_gets_only_the_clusters_address(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", "/etc/kube")
    settings = Settings(home=tmp_path, runtimes=tmp_path, port_base=23000)
    own = gpu_agent(settings, Reporter("local", "nvml", cluster=False, sharing="mps"))
    cluster = gpu_agent(settings, Reporter("k", "kubernetes", cluster=True))
    assert "KUBECONFIG" not in own.environment
    assert cluster.environment["KUBECONFIG"] == "/etc/kube"
    assert own.command[own.command.index("--sharing") + 1] == "mps"
    assert str(tmp_path / "gpu-agent" / "local.token") in own.command


def device(**changes):
    return {"model": "H100-80GB", "mig": "", "leased_milli": 0, "free_milli": 1000, "failed": ""} | changes


def node(*devices, simulated=False, lost=False, cordoned=""):
    return {"devices": list(devices), "simulated": simulated, "lost": lost, "cordoned": cordoned, "reporter": "r"}


@pytest.mark.parametrize(
    ("nodes", "line"),
    [
        ([], "none known"),
        ([node(device(), device(leased_milli=300, free_milli=700), simulated=True)], "2 H100-80GB (simulated): 0.3 leased, 1.7 free"),
        ([node(device(model="T4")), node(device(), simulated=True)], "1 H100-80GB, 1 T4: 0 leased, 2 free"),
        ([node(device(mig="3g.40gb"))], "1 H100-80GB 3g.40gb: 0 leased, 1 free"),
        ([node(device(), lost=True), node(device(failed="Xid 79"))], "2 H100-80GB: 0 leased, 0 free, 2 lost or failed"),
        ([node(device(), cordoned="repair")], "1 H100-80GB: 0 leased, 0 free"),
    ],
)  # fmt: skip
def test_the_pool_in_one_line(nodes, line):
    assert summary({"nodes": nodes}) == line


@pytest.mark.parametrize(("cluster", "node"), [(False, "lab"), (True, "")])
def test_the_node_of_this_machine_is_its_agents(tmp_path, cluster, node):
    settings = Settings(home=tmp_path, runtimes=tmp_path, port_base=23000)
    assert local_node(settings) == ""
    settings.supervisor_programs.mkdir(parents=True)
    started = gpu_agent(settings, Reporter("lab", "declared", cluster=cluster)).start()
    (settings.supervisor_programs / "gpu-agent.json").write_text(started)
    assert local_node(settings) == node


@pytest.mark.parametrize(("source", "found"), [("declared", True), ("nvml", False)])
def test_declared_gpus_are_simulated(tmp_path, source, found):
    settings = Settings(home=tmp_path, runtimes=tmp_path, port_base=23000)
    assert not simulated(settings)
    settings.supervisor_programs.mkdir(parents=True)
    started = gpu_agent(settings, Reporter("lab", source, cluster=False)).start()
    (settings.supervisor_programs / "gpu-agent.json").write_text(started)
    assert simulated(settings) is found
