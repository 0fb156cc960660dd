"""Machines by the hour through commands of whoever runs the agent: real processes, a provider in a folder."""

from __future__ import annotations

import json
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from include.errors import ComponentError, InputError
from include.inventory.burst_hooks import BurstHooks
from include.inventory.report import to_json
from include.pool.state import BurstState
from tests.waiting import until

PROVIDER = """#!{python}
import json, pathlib, sys
here = pathlib.Path({folder!r})
what, node = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
with (here / "calls").open("a") as calls:
    calls.write(f"{{what}} {{node}}\\n") if what != "state" else None
if what == "state":
    print((here / "state.json").read_text())
elif (here / "refuses").exists():
    sys.exit("no capacity in zone a")
"""
NODES = """
nodes:
  - name: spot-1
    burst: {price_per_hour: 2.5, boot_s: 180, spot: true}
    devices: [{model: H100-80GB, count: 2}]
"""


class Cloud:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "provider"
        program.write_text(PROVIDER.format(python=sys.executable, folder=str(folder)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        hooks = {name: [str(program), name] for name in ("boot", "end", "state")}
        self.file = folder / "cloud.yaml"
        self.file.write_text(f"hooks: {json.dumps(hooks)}{NODES}")
        self.says({})
        self.inventory = BurstHooks(self.file)

    def says(self, states: dict[str, Any]) -> None:
        (self.folder / "state.json").write_text(json.dumps(states))

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def order_has_ended(self) -> bool:
        self.inventory.read()
        return all(order.ended is not None for order in self.inventory._orders.values())

    def node(self) -> Any:
        (found,) = self.inventory.read()
        return found


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def test_a_machine_is_ordered_once_and_known_to_boot_until_its_provider_says_so(cloud: Cloud) -> None:
    assert cloud.node().burst.state is BurstState.OFF
    cloud.inventory.want("spot-1", True)
    cloud.inventory.want("spot-1", True)
    until(cloud.calls, 10)
    assert cloud.calls() == ["boot spot-1"]
    assert cloud.node().burst.state is BurstState.BOOTING
    cloud.says({"spot-1": {"state": "on", "notice_s": 90}})
    node = cloud.node()
    assert (node.burst.state, node.burst.notice_s) == (BurstState.ON, 90.0)
    until(lambda: cloud.order_has_ended(), 10)
    cloud.inventory.want("spot-1", False)
    cloud.inventory.read()
    until(lambda: cloud.calls()[1:], 10)
    assert cloud.calls()[1:] == ["end spot-1"]


def test_what_an_order_says_when_it_fails_is_the_reason(cloud: Cloud) -> None:
    (cloud.folder / "refuses").touch()
    cloud.node()
    cloud.inventory.want("spot-1", True)
    until(lambda: cloud.node().burst.failed, 10)
    assert cloud.node().burst.failed == "boot of spot-1: no capacity in zone a"
    assert cloud.node().burst.state is BurstState.OFF


def test_its_own_agents_word_of_its_gpus_goes_before_the_files(cloud: Cloud) -> None:
    process = {"pid": 1, "name": "x", "memory_mib": 5}
    told = [{"uuid": "GPU-1", "index": 0, "model": "H100-80GB", "memory_mib": 81_559, "processes": [process]}]
    cloud.says({"spot-1": {"state": "on", "devices": told}})
    assert [device.uuid for device in cloud.node().devices] == ["GPU-1"]
    assert to_json(cloud.node(), "cloud/")["burst"]["state"] == "on"
    cloud.says({"spot-1": {"state": "on", "devices": [{"uid": 1}]}})
    with pytest.raises(ComponentError, match="devices"):
        cloud.node()


@pytest.mark.parametrize(
    "said", ["[]", "nonsense", '{"spot-1": {"state": "up"}}', '{"spot-1": {"state": "on", "notice_s": "soon"}}', '{"spot-1": 3}']
)
def test_a_state_that_says_it_wrong_is_no_reading(cloud: Cloud, said: str) -> None:
    (cloud.folder / "state.json").write_text(said)
    with pytest.raises(ComponentError):
        cloud.node()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("nodes: []", "hooks"),
        ("hooks: {boot: [a], end: [b], state: c}", "hooks.state"),
        ("hooks: {boot: [a], end: [b], state: [c], stop: [d]}", "hooks.stop"),
    ],
)
def test_a_file_that_says_it_wrong_is_refused_by_field(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text(f"{text}{'' if 'nodes' in text else NODES}")
    with pytest.raises(InputError, match=where):
        BurstHooks(file)


def test_a_name_is_an_argument_and_never_a_shells(cloud: Cloud) -> None:
    with pytest.raises(InputError, match="not in the file"):
        cloud.inventory.want("spot-1; touch /tmp/pwned", True)
    time.sleep(0.1)
    assert cloud.calls() == []
