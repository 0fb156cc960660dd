"""Hostile code in a step on target `process`: what it tries is refused, and what it leaves leads the platform nowhere."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.door.token import Grant, sign
from include.errors import InputError
from include.runtime.sandbox import users
from include.runtime.sandbox.offered import Offered
from include.steps.context import StepRequest
from include.targets.process import ProcessTarget
from include.targets.target import StepState, step_of
from tests.include.sandbox.contained import HOSTILE, LOADS, request
from tests.include.sandbox.skeleton import SECRET, Platform
from tests.waiting import until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Offered.here().view or Offered.here().abi < 6, reason="this kernel offers less: make up says what"),
]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    found = Platform()
    yield found
    found.close()


def run(platform: Platform, asked: StepRequest):
    target = ProcessTarget(platform.settings)
    token = {"MLFLOW_TRACKING_TOKEN": sign(Grant("own"), "s" * 64, 0, 600), "MLFLOW_TRACKING_URI": platform.settings.mlflow_door_url}
    step = target.submit(asked, "trainer", token)
    until(lambda: target.state(step) is not StepState.RUNNING, 120)
    return target, step


def test_all_that_hostile_code_tries_is_refused_and_all_that_a_step_needs_works(platform, tmp_path):
    folder = tmp_path / "hostile"
    asked = request(folder, "def load(): ...\n")
    target = ProcessTarget(platform.settings)
    facts = platform.facts(folder) | {"folder": str(step_of(platform.settings, asked.run_key, "table.extract").folder)}
    (folder / "attempts.py").write_text(HOSTILE.read_text())
    (folder / "data.py").write_text(f"FACTS = {json.dumps(facts)!r}\n{LOADS}")
    target, step = run(platform, asked)
    assert target.state(step) is StepState.SUCCEEDED, (step.folder / "log.txt").read_text()
    got = json.loads(next(step.folder.parent.glob("checkpoints/*/got.json")).read_text())
    assert got.pop("allowed") == "fine"
    if not Offered.here().user:
        got.pop("more_processes_than_allowed")
        for name in ("replace_the_log", "replace_the_request"):  # its own run's; the platform follows no link there
            got.pop(name, None)
    assert len(got) > 25
    assert {name: what for name, what in got.items() if not what.startswith("refused")} == {}
    assert (platform.settings.home / "mlflow" / "mlflow.db").read_text() == SECRET and platform.victim.poll() is None
    assert target.result(step)["rows"] == 40


LEAVES = {
    "a link to a secret": "os.symlink('{home}/credentials.json', out + '/secret')",
    "a link to a folder of the system": "os.symlink('/etc', out + '/etc')",
    "a link that climbs": "os.symlink('../../../../credentials.json', out + '/up')",
    "a pipe": "os.mkfifo(out + '/pipe')",
    "a link in place of the folder": "os.rename(out, out + '2'); os.symlink('/etc', out)",
    "a link in place of the result": "os.symlink('{home}/credentials.json', out + '/../result.json'); os._exit(0)",
    "a result that is too deep": "open(out + '/../result.json', 'w').write('[' * 100000); os._exit(0)",
    "a link in place of the error": "os.symlink('{home}/credentials.json', out + '/../error.json'); os._exit(1)",
}


def test_what_a_step_leaves_leads_the_platform_nowhere(platform, tmp_path):
    target, steps = ProcessTarget(platform.settings), {}
    for number, (name, code) in enumerate(LEAVES.items()):
        asked = request(tmp_path / f"leaves{number}", "def load(): ...\n")
        out = step_of(platform.settings, asked.run_key, "table.extract").out
        code = code.replace("{home}", str(platform.settings.home))
        made = f"import os\nimport pandas as pd\ndef load():\n    out = {str(out)!r}\n    {code}\n"
        (Path(asked.folder) / "data.py").write_text(made + "    return pd.DataFrame({'x': range(40), 'y': [0, 1] * 20})\n")
        steps[name] = target.submit(asked, "trainer")
    for name, step in steps.items():
        until(lambda step=step: target.state(step) is not StepState.RUNNING, 120)
        with pytest.raises(Exception) as told:
            target.result(step)
        assert SECRET not in str(told.value), name
        if "error" not in name:
            assert isinstance(told.value, InputError) or "ended from outside" in str(told.value), (name, told.value)


@pytest.mark.skipif(not Offered.here().user, reason="steps have no users of their own here")
def test_no_process_of_a_step_outlives_it_not_even_one_that_hides(platform, tmp_path):
    code = """
import os, subprocess, pandas as pd
def load():
    subprocess.Popen(["/bin/sleep", "600"], start_new_session=True, env={})
    return pd.DataFrame({"x": range(40), "y": [0, 1] * 20})
"""
    target, step = run(platform, request(tmp_path / "hides", code))
    user = step.out.stat().st_uid
    assert users._processes(user)
    target.result(step)
    assert not users._processes(user)
    assert {path.lstat().st_uid for path in (step.out, *step.out.rglob("*"))} == {0}


def test_a_port_that_the_spec_names_is_open_and_its_neighbour_is_not(platform, tmp_path):
    with socket.socket() as named, socket.socket() as other:
        for port, server in ((19432, named), (19433, other)):
            server.bind(("127.0.0.1", port))
            server.listen()
        code = """
import socket, pandas as pd
def load():
    socket.create_connection(("127.0.0.1", 19432), 5)
    try:
        socket.create_connection(("127.0.0.1", 19433), 5)
    except PermissionError:
        return pd.DataFrame({"x": range(40), "y": [0, 1] * 20})
    raise ValueError("open")
"""
        target, step = run(platform, replace(request(tmp_path / "named", code), network=["localhost:19432"]))
        assert target.result(step)["rows"] == 40


@pytest.mark.skipif(not Offered.here().user, reason="steps have no users of their own here")
def test_two_platforms_of_one_machine_give_no_number_twice(tmp_path):
    given = [users.give(tmp_path / f"platform{number % 2}") for number in range(40)]
    assert len(set(given)) == 40 and all(number in users.numbers() for number in given)
    (tmp_path / "same").write_text(str(users.numbers().index(given[0])))
    process = subprocess.Popen(["/bin/sleep", "60"], user=given[0])
    try:
        assert users.give(tmp_path / "same") != given[0]
    finally:
        process.kill()
        process.wait()
