"""Kill -9 in the middle of a change, at every point where something is written."""

import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import pytest

from include.gateway.table import Split
from include.platform.health import answers, is_ours, questions
from include.runtime.credentials import Credentials as Platform
from tests.include.serving.stage import KEY
from tests.waiting import until

pytestmark = pytest.mark.integration

CHANGE = """
    import json, os, signal, sys
    from dataclasses import replace
    from pathlib import Path
    from include.gateway.credentials import Credentials
    from include.gateway.gateway import Gateway
    from include.runtime.settings import Settings

    home, base, moment, split = sys.argv[1:]
    settings = replace(Settings.load(), home=Path(home), port_base=int(base))
    gateway = Gateway(settings, Credentials.read(Path(home) / "caller-keys.json"))
    left = int(moment)

    def dying(real):
        def call(*arguments, **options):
            global left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return real(*arguments, **options)
        return call

    os.fsync, Path.rename = dying(os.fsync), dying(Path.rename)
    gateway.set_split("duo", json.loads(split))
    print("survived")
"""


@pytest.fixture
def keys(stage):
    import json

    path = stage.settings.home / "caller-keys.json"
    path.write_text(json.dumps({"api_keys": dict(stage.credentials.api_keys), "probe_secret": stage.credentials.probe_secret}))
    return path


def change(stage, moment, split):
    arguments = [str(stage.settings.home), str(stage.settings.port_base), str(moment), split]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHANGE), *arguments], capture_output=True, text=True, cwd=stage.settings.repo
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == 0


def test_killed_at_any_write_the_gateway_serves_and_the_next_call_mends(stage, duo, keys):
    statuses, done = [], threading.Event()

    def call():
        while not done.is_set():
            statuses.append(stage.infer("duo").status_code)

    caller = threading.Thread(target=call)
    caller.start()
    moment, survived = 0, False
    try:
        while not survived:
            survived = change(stage, moment, '{"1": 60, "2": 40}')
            assert stage.gateway.split("duo") in (Split({"1": 100}), Split({"1": 60, "2": 40}))
            stage.gateway.set_split("duo", {"1": 60, "2": 40})
            assert stage.gateway.split("duo") == Split({"1": 60, "2": 40})
            stage.gateway.set_split("duo", {"1": 100})
            moment += 1
    finally:
        done.set()
        caller.join()
    # Clusters, then routes; for each the text is synced, renamed, and its folder synced.
    assert moment == 7
    assert set(statuses) == {200}


def test_a_full_disk_leaves_the_split_as_it_was(stage, duo, keys):
    code = f"""
import resource, signal
from dataclasses import replace
from pathlib import Path
from include.gateway.credentials import Credentials
from include.gateway.gateway import Gateway
from include.runtime.settings import Settings

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
settings = replace(Settings.load(), home=Path("{stage.settings.home}"), port_base={stage.settings.port_base})
try:
    Gateway(settings, Credentials.read(Path("{keys}"))).set_split("duo", {{"1": 60, "2": 40}})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=stage.settings.repo)
    assert "ComponentError" in done.stdout, done.stderr
    assert "it is as it was" in done.stdout
    assert stage.gateway.split("duo") == Split({"1": 100})
    assert stage.infer("duo").status_code == 200


def test_two_processes_that_change_at_once_lose_nothing(stage, duo, pair):
    other = type(stage.gateway)(stage.settings, stage.credentials)
    endpoint = pair[0].endpoint()
    names = [f"model_{number}" for number in range(6)]

    def add(gateway, mine):
        for name in mine:
            gateway.add_revision(type(endpoint)(name, "1", endpoint.port))

    adders = [threading.Thread(target=add, args=(gateway, mine)) for gateway, mine in ((stage.gateway, names[:3]), (other, names[3:]))]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    known = stage.gateway.models()
    for name in names:
        stage.gateway.retire(name)
    assert set(names) <= set(known)


def test_a_gateway_that_lets_nobody_in_is_not_well(stage, duo):
    """Envoy itself says that it is ready when its listener is closed."""
    question = questions(stage.settings, Platform(api_keys={"updraft": KEY}))["gateway"]
    assert answers(question) and is_ours(stage.settings, question.port)
    stage.gateway.admin._get("/drain_listeners", method="POST")
    until(lambda: not answers(question))
    assert stage.gateway.admin.running()
    stage.supervisor.restart("envoy")
    until(lambda: answers(question))
    assert not answers(replace(question, headers={"x-api-key": "another"}))
