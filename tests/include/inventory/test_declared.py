from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from include.errors import InputError
from include.inventory.choose import SIMULATED
from include.inventory.declared import Declared, nodes
from include.inventory.hired import Hired
from include.pool.state import GpuCut


def read(tmp_path, text, reporter="r"):
    path = tmp_path / "inventory.yaml"
    path.write_text(text)
    return Declared(path, reporter)


def device(**fields):
    return [{"name": "n", "devices": [{"model": "H100-80GB", **fields}]}]


def test_the_shipped_file_has_two_gpus_of_80_gb_on_one_node_that_may_be_shared():
    inventory = Declared(SIMULATED, "simulated")
    (node,) = inventory.read()
    assert (inventory.source, inventory.cluster, node.name) == ("declared", False, "simulated")
    assert [(d.uuid, d.index, d.model, d.memory_mib, d.sharing) for d in node.devices] == [
        ("declared/simulated/gpu-0", 0, "H100-80GB", 81920, "time-slice"),
        ("declared/simulated/gpu-1", 1, "H100-80GB", 81920, "time-slice"),
    ]


def test_nothing_of_a_declared_gpu_is_used():
    (node,) = Declared(SIMULATED, "simulated").read()
    assert all((d.used_mib, d.reserved_mib, d.processes, d.failed) == (0, 0, (), "") for d in node.devices)


def test_a_known_model_needs_no_memory_and_no_count():
    (node,) = nodes({"nodes": device()}, "f")
    assert [(d.memory_mib, d.sharing) for d in node.devices] == [(81559, "")]


def test_groups_of_devices_are_numbered_through():
    groups = [{"model": "L4", "count": 2}, {"model": "T4"}]
    (node,) = nodes({"nodes": [{"name": "n", "devices": groups}]}, "f")
    assert [(d.index, d.uuid, d.model) for d in node.devices] == [
        (0, "declared/n/gpu-0", "L4"),
        (1, "declared/n/gpu-1", "L4"),
        (2, "declared/n/gpu-2", "T4"),
    ]


def test_a_gpu_in_mig_mode_is_its_instances():
    (node,) = nodes({"nodes": device(memory="80GiB", count=2, mig=["3g.40gb", "1g.10gb"])}, "f")
    assert [(d.index, d.uuid, d.parent, d.mig, d.memory_mib) for d in node.devices] == [
        (0, "declared/n/gpu-0/mig-0", "declared/n/gpu-0", "3g.40gb", 40960),
        (1, "declared/n/gpu-0/mig-1", "declared/n/gpu-0", "1g.10gb", 10240),
        (2, "declared/n/gpu-1/mig-0", "declared/n/gpu-1", "3g.40gb", 40960),
        (3, "declared/n/gpu-1/mig-1", "declared/n/gpu-1", "1g.10gb", 10240),
    ]


def test_an_edit_shows_with_the_next_reading(tmp_path):
    inventory = read(tmp_path, yaml.safe_dump({"nodes": device()}))
    assert len(inventory.read()[0].devices) == 1
    read(tmp_path, yaml.safe_dump({"nodes": device(count=3)}))
    assert len(inventory.read()[0].devices) == 3


def test_several_nodes_or_another_name_are_a_clusters_to_report(tmp_path):
    text = yaml.safe_dump({"nodes": device()})
    assert not read(tmp_path, text, reporter="n").cluster
    assert read(tmp_path, text, reporter="other").cluster


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (None, "mapping"),
        ([], "mapping"),
        ({}, "nodes"),
        ({"nodes": []}, "nodes"),
        ({"nodes": "x"}, "nodes"),
        ({"nodes": device(), "more": 1}, "more"),
        ({"nodes": ["x"]}, "nodes[0]"),
        ({"nodes": [{"name": "n"}]}, "nodes[0].devices"),
        ({"nodes": [{"name": "", "devices": [{"model": "T4"}]}]}, "nodes[0].name"),
        ({"nodes": [{"name": "a/b", "devices": [{"model": "T4"}]}]}, "nodes[0].name"),
        ({"nodes": [{"name": 1, "devices": [{"model": "T4"}]}]}, "nodes[0].name"),
        ({"nodes": device() * 2}, "'n' twice"),
        ({"nodes": [{**device()[0], "labels": {"a": 1}}]}, "nodes[0].labels"),
        ({"nodes": [{**device()[0], "labels": ["a"]}]}, "nodes[0].labels"),
        ({"nodes": [{"name": "n", "devices": [{}]}]}, "devices[0].model"),
        ({"nodes": device(model="a b")}, "devices[0].model"),
        ({"nodes": device(model="Mystery")}, "devices[0].memory"),
        ({"nodes": device(memory="lots")}, "devices[0].memory"),
        ({"nodes": device(memory=0)}, "devices[0].memory"),
        ({"nodes": device(memory=-5)}, "devices[0].memory"),
        ({"nodes": device(memory=True)}, "devices[0].memory"),
        ({"nodes": device(memory="9e99GiB")}, "devices[0].memory"),
        ({"nodes": device(memory="99999999TiB")}, "devices[0].memory"),
        ({"nodes": device(count=0)}, "devices[0].count"),
        ({"nodes": device(count=65)}, "devices[0].count"),
        ({"nodes": device(count=1.5)}, "devices[0].count"),
        ({"nodes": device(count=True)}, "devices[0].count"),
        ({"nodes": device(sharing="yes")}, "devices[0].sharing"),
        ({"nodes": device(mig="1g.10gb")}, "devices[0].mig"),
        ({"nodes": device(mig=["half"])}, "devices[0].mig"),
        ({"nodes": device(mig=["3g.40gb"] * 3)}, "devices[0].mig"),
        ({"nodes": device(mig=["1g.5gb"] * 8)}, "devices[0].mig"),
        ({"nodes": device(mig=["1g.10gb"], sharing="mps")}, "devices[0].mig"),
        ({"nodes": device(speed=1)}, "'speed'"),
        ({"nodes": [{"name": "n", "devices": [{"model": "T4", "count": 40}] * 2}]}, "80 GPUs"),
    ],
)
def test_what_is_not_of_the_format_is_named_with_its_remedy(document, field):
    with pytest.raises(InputError) as refused:
        nodes(document, "file.yaml")
    assert field in str(refused.value)
    assert refused.value.where.startswith("file.yaml")
    assert refused.value.remedy


@pytest.mark.parametrize("text", ["nodes: [", "\x00", "nodes: &a [*a]", "!!python/object:os.system {}"])
def test_a_file_that_is_no_yaml_is_named(tmp_path, text):
    with pytest.raises(InputError, match=r"inventory\.yaml"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"/nowhere.*exists"):
        Declared(Path("/nowhere"), "r")


def test_a_cut_shows_with_the_next_reading_and_leaves_other_instances_as_they_are(tmp_path):
    inventory = read(tmp_path, yaml.safe_dump({"nodes": device(memory="80GiB", count=2, mig=["3g.40gb", "1g.10gb", "1g.10gb"])}))
    (before,) = inventory.read()
    first, second, third = before.devices[:3]
    assert all(device.first_slice for device in before.devices)
    inventory.cut("n", GpuCut(first.parent, (second.uuid, third.uuid), (("2g.20gb", 3),), "", 0.0))
    for _ in range(2):  # again it changes nothing
        (after,) = inventory.read()
        mine = [device for device in after.devices if device.parent == first.parent]
        assert {(device.mig, device.first_slice) for device in mine} == {("2g.20gb", 3), (first.mig, first.first_slice)}
        assert [device.uuid for device in mine if device.mig == "3g.40gb"] == [first.uuid]
        assert [device.index for device in after.devices] == list(range(5))
        inventory.cut("n", GpuCut(first.parent, (second.uuid, third.uuid), (("2g.20gb", 3),), "", 0.0))


def test_instances_that_no_table_allows_side_by_side_have_no_place(tmp_path):
    (node,) = nodes({"nodes": device(model="L4", memory="80GiB", mig=["3g.40gb"])}, "f")
    assert [found.first_slice for found in node.devices] == [0]


def test_a_simulated_machine_by_the_hour_boots_in_its_time_and_is_taken_back_with_notice(tmp_path: Path) -> None:
    now = [0.0]
    hired = Hired(lambda: now[0])
    burst = {"price_per_hour": 2, "boot_s": 60}
    (node,) = nodes({"nodes": [{"name": "spot", "devices": [{"model": "H100-80GB"}], "burst": burst}]}, "file")
    hired.want("spot", True)

    def states(*times: float, notice_s: float | None = None) -> list[tuple[str, float | None]]:
        found = []
        for at in times:
            now[0] = at
            assert node.burst is not None
            seen = hired.seen(replace(node, burst=replace(node.burst, notice_s=notice_s))).burst
            assert seen is not None
            found.append((seen.state.value, seen.notice_s))
        return found

    assert states(0.0, 59.0, 61.0) == [("booting", None), ("booting", None), ("on", None)]
    assert states(70.0, 90.0, 101.0, notice_s=30.0) == [("on", 30.0), ("on", 10.0), ("off", None)]


@pytest.mark.parametrize(
    ("burst", "where"),
    [
        ({"boot_s": 60}, "price_per_hour"),
        ({"price_per_hour": 1, "boot_s": -1}, "boot_s"),
        ({"price_per_hour": 1, "boot_s": 1, "spot": "y"}, "spot"),
    ],
)
def test_a_price_or_boot_time_that_is_none_is_refused_by_field(burst: dict[str, object], where: str) -> None:
    with pytest.raises(InputError, match=where):
        nodes({"nodes": [{"name": "spot", "devices": [{"model": "H100-80GB"}], "burst": burst}]}, "file")
