"""A machine by the hour from request to return: the real API, the agent's real process, its hooks; the provider is a folder."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.runtime.settings import REPO
from tests.plugins.gpu_pool.api.conftest import Served
from tests.waiting import until

PROVIDER = """#!{python}
import json, pathlib, sys
on = pathlib.Path({folder!r}) / "on"
if sys.argv[1] == "state":
    print(json.dumps({{"spot": {{"state": "on" if on.exists() else "off"}}}}))
elif sys.argv[1] == "boot":
    on.touch()
else:
    on.unlink(missing_ok=True)
"""
NODES = """
nodes:
  - name: spot
    burst: {price_per_hour: 2.5, boot_s: 1, spot: true}
    devices: [{model: B200-180GB, memory: 180GiB, count: 2}]
"""


@pytest.fixture
def cloud(served: Served, tmp_path: Path) -> Iterator[Path]:
    """The provider's folder; an agent reports what it says."""
    program = tmp_path / "provider"
    program.write_text(PROVIDER.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    hooks = {name: [str(program), name] for name in ("boot", "end", "state")}
    (tmp_path / "cloud.yaml").write_text(f"hooks: {json.dumps(hooks)}{NODES}")
    (tmp_path / "token").write_text(served.post("agents/cloud", {"cluster": True}, "anna").json()["token"])
    command = [sys.executable, "-m", "gpu_pool.agent", "--source", "burst", "--file", "cloud.yaml", "--every", "0.2"]
    command += ["--server", served.url, "--token-file", "token", "--reporter", "cloud"]
    environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'plugins'}"}
    with (tmp_path / "log").open("w") as log:
        agent = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    yield tmp_path
    agent.kill()
    agent.wait(10)
    served.call("DELETE", "nodes/cloud%2Fspot", "anna")


def test_it_is_booted_for_who_can_have_no_other_and_ended_when_nobody_uses_it(served: Served, cloud: Path) -> None:
    def node() -> dict[str, object]:
        found = [one for one in served.get("inventory").json()["nodes"] if one["name"] == "cloud/spot"]
        return found[0] if found else {}

    until(node, 20, seen=lambda: (cloud / "log").read_text())
    assert node()["burst"] == {
        **{"price_per_hour": 2.5, "boot_s": 1.0, "spot": True, "state": "off", "failed": "", "wanted": False, "wanted_at": None},
        **{"closing": "", "spent": 0.0},
    }
    asked = served.post("requests", {"key": "burst", "gpus": 2, "models": ["B200-180GB"], "duration_s": 60}).json()
    until((cloud / "on").exists, 10, seen=lambda: served.get(f"requests/{asked['id']}").json()["reasons"])
    until(lambda: served.get(f"requests/{asked['id']}").json()["lease"], 10, seen=node)
    lease = served.get(f"requests/{asked['id']}").json()["lease"]
    assert lease["grants"][0]["node"] == "cloud/spot"
    assert served.get("inventory").json()["burst_budget"] == 100
    served.post(f"leases/{lease['id']}/release", {"token": lease["token"]})
    until(lambda: not (cloud / "on").exists(), 15, seen=node)
    told = [event["text"] for event in served.get("events").json() if event["kind"] == "burst"]
    assert any("is taken for burst" in text for text in told) and any("nobody has used it" in text for text in told)


def test_a_report_of_a_price_that_is_none_is_refused(served: Served) -> None:
    token = served.post("agents/other", {"cluster": True}, "anna").json()["token"]
    node = {"name": "other/a", "devices": [], "burst": {"price_per_hour": -1, "boot_s": 1}}
    body = {"source": "burst", "sequence": 1, "clock": 0.0, "nodes": [node]}
    answer = served.call("PUT", "reports/other", token=token, json=body)
    assert answer.status_code == 422 and "price_per_hour" in answer.text
