"""Target `docker`, with a real engine (that of DOCKER_HOST) and the trainer's image, as `make images RUNTIMES=trainer` builds it."""

import io
import json
import os
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker.api.client import APIClient

from include.errors import ComponentError, InputError
from include.runtime.settings import Settings
from include.spec.parts import Limits
from include.targets import images
from include.targets.containers import EnginePlace
from include.targets.docker import DockerTarget
from include.targets.target import Step, StepState, step_of
from tests.include.targets.asked import Asked
from tests.include.targets.engine import Door, engine, with_image
from tests.waiting import until

pytestmark = pytest.mark.integration
SECONDS = 90


@pytest.fixture(scope="module")
def client() -> Any:
    return with_image(engine(), "trainer")


@pytest.fixture
def settings() -> Iterator[Settings]:
    home = Path(tempfile.mkdtemp(prefix="ud-")).resolve()
    yield replace(Settings.load(), home=home)
    shutil.rmtree(home)


@pytest.fixture
def target(settings, client) -> Iterator[DockerTarget]:
    """Whatever a test leaves behind is an orphan, and removed."""
    yield DockerTarget(settings, client)
    for name in containers(client, settings):
        client.remove_container(name, force=True)


@pytest.fixture
def asked(tmp_path) -> Callable[..., Asked]:
    def asked(kind: str, source: str = "") -> Asked:
        found = Asked(tmp_path, "slow" if source else kind)
        if source:
            (found.folder / "data.py").write_text(source)
        return found

    return asked


@pytest.fixture
def no_image(monkeypatch, tmp_path) -> None:
    """Runtime quantise has a lock of which nobody has built an image."""
    (tmp_path / "new.lock").write_text(f"more=={time.time()}\n")
    monkeypatch.setitem(images.RUNTIMES, "quantise", tmp_path / "new.lock")


def containers(client, settings) -> list[str]:
    found = client.containers(all=True, filters={"label": f"updraft.home={settings.home}"})
    return [one["Names"][0].lstrip("/") for one in found]


def finish(target: DockerTarget, step: Step) -> StepState:
    until(lambda: target.state(step) is not StepState.RUNNING, SECONDS)
    return target.state(step)


def said(step: Step) -> str:
    path = step.folder / "log.txt"
    return path.read_text() if path.exists() else ""


def slow(mark: str = "begun") -> str:
    """Data code that says it has begun and goes on for ever."""
    return f"import time\ndef load():\n    print({mark!r}, flush=True)\n    time.sleep(600)"


def test_a_step_runs_in_its_image_and_leaves_nothing_but_its_result(target, asked, settings, client):
    step = target.submit(asked("quick").request, "trainer")
    assert finish(target, step) is StepState.SUCCEEDED, said(step)
    result = target.result(step)
    assert result["rows"] == 40 and Path(result["table"]).is_relative_to(step.out)
    assert Path(result["table"]).stat().st_uid == os.getuid()
    assert containers(client, settings) == []


def test_the_container_may_do_and_see_little(target, asked, settings, client):
    (settings.home / "credentials.json").write_text("{}")
    source = (
        "import os, pandas as pd\ndef load():\n    mine = os.path.dirname(__file__)\n"
        "    for path in ('/opt/x', mine + '/x', '/tmp/x', os.environ['TMPDIR'] + '/x'):\n"
        "        try:\n            open(path, 'w').write('x')\n            print('WRITES', path)\n"
        "        except OSError as error:\n            print('CANNOT', path, error.strerror)\n"
        f"    print('SEES', sorted(os.listdir({str(settings.home)!r})))\n"
        "    print([line for line in open('/proc/self/status') if line.startswith(('CapEff', 'NoNewPrivs'))])\n"
        "    return pd.DataFrame({'x': range(40), 'y': [0, 1] * 20})"
    )
    asks = asked("quick", source)
    step = target.submit(asks.request, "trainer")
    assert finish(target, step) is StepState.SUCCEEDED, said(step)
    assert "CANNOT /opt/x" in said(step) and f"CANNOT {asks.folder}/x" in said(step)
    assert "WRITES /tmp/x" in said(step) and f"WRITES {step.folder}/tmp/x" in said(step)
    assert "SEES ['steps']" in said(step)
    assert "CapEff:\\t0000000000000000" in said(step) and "NoNewPrivs:\\t1" in said(step)


def test_another_worker_finds_the_step_that_runs(target, asked, settings):
    asks = asked("slow", slow())
    step = target.submit(asks.request, "trainer")
    until(lambda: "begun" in said(step), SECONDS)
    other = DockerTarget(settings, engine())
    assert other.submit(asks.request, "trainer") == step
    assert other.state(step) is StepState.RUNNING and said(step).count("begun") == 1


def test_submitted_many_times_at_once_it_runs_once(target, asked, settings, client):
    asks = asked("slow", slow())
    threads = [threading.Thread(target=DockerTarget(settings, engine()).submit, args=(asks.request, "trainer")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    step = step_of(settings, asks.request.run_key, "table.extract")
    until(lambda: "begun" in said(step), SECONDS)
    assert containers(client, settings) == [target.container(step)]
    assert said(step).count("begun") == 1


def test_changed_code_ends_the_old_container_and_starts_anew(target, asked, client):
    asks = asked("slow", slow())
    step = target.submit(asks.request, "trainer")
    until(lambda: "begun" in said(step), SECONDS)
    first = client.inspect_container(target.container(step))["Id"]
    (asks.folder / "data.py").write_text(slow("anew"))
    target.submit(asks.request, "trainer")
    assert client.inspect_container(target.container(step))["Id"] != first
    until(lambda: "anew" in said(step), SECONDS)


def test_what_a_worker_killed_between_making_and_starting_left_is_replaced(target, asked, settings, client):
    asks = asked("quick")
    step = step_of(settings, asks.request.run_key, "table.extract")
    image = images.name("trainer")
    client.create_container(image, ["true"], name=target.container(step), labels={"updraft.home": str(settings.home)})
    assert target.submit(asks.request, "trainer") == step
    assert finish(target, step) is StepState.SUCCEEDED, said(step)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_step_that_is_ended_is_gone_with_all_that_it_has_started(target, asked, settings, client, how):
    source = (
        "import subprocess, time\ndef load():\n    subprocess.Popen(['sleep', '611'], start_new_session=True)\n"
        + slow()[len("import time\ndef load():\n") :]
    )
    step = target.submit(asked("slow", source).request, "trainer")
    until(lambda: "begun" in said(step), SECONDS)
    getattr(target, how)(step)
    assert containers(client, settings) == []
    assert target.state(step) is StepState.FAILED
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x00611\x00" in _bytes(path)]
    getattr(target, how)(step)  # again: nothing happens


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_under_a_lease_a_step_told_to_stop_saves_and_finds_it_again(target, asked):
    source = (
        "import os, time\ndef load():\n    folder = os.environ['UPDRAFT_CHECKPOINTS']\n    print('kept', os.listdir(folder), flush=True)\n"
        "    try:\n        time.sleep(600)\n    finally:\n        open(folder + '/state', 'w').write('half way')"
    )
    asks, until_then = asked("slow", source), time.monotonic() + 600
    step = target.submit(asks.request, "trainer", lease=("l1", until_then))
    until(lambda: "kept []" in said(step), SECONDS)
    target.ask_to_stop(step)
    assert finish(target, step) is StepState.FAILED
    target.ask_to_stop(step)  # it has ended: nothing happens
    target.submit(asks.request, "trainer", lease=("l2", until_then))
    until(lambda: "kept ['state']" in said(step), SECONDS)


def test_code_that_needs_more_memory_than_the_limit_ends_in_a_sentence_that_names_it(settings, client, target, asked):
    greedy = "def load():\n    return [0] * (1 << 28)"
    small = DockerTarget(settings, client, limits=Limits(memory="512MiB"))
    step = small.submit(asked("slow", greedy).request, "trainer")
    assert finish(small, step) is StepState.FAILED
    with pytest.raises(InputError, match="512MiB") as told:
        small.result(step)
    assert told.value.where == "model.yaml: limits.memory" and told.value.remedy


def test_a_full_disk_is_told(settings, client, target, asked):
    fills = "def load():\n    open('/tmp/x', 'wb').write(bytes(1 << 25))"
    small = DockerTarget(settings, client, EnginePlace(tmp="8m"))
    step = small.submit(asked("slow", fills).request, "trainer")
    assert finish(small, step) is StepState.FAILED
    with pytest.raises((InputError, ComponentError), match="No space left"):
        small.result(step)


@pytest.mark.parametrize(("code", "says"), [("os.kill(os.getpid(), 9)", "ended from outside"), ("os._exit(3)", "exit code 3")])
def test_a_step_that_dies_is_tried_again_and_says_how_it_ended(target, asked, code, says):
    step = target.submit(asked("slow", f"import os\ndef load():\n    {code}").request, "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(ComponentError, match=says):
        target.result(step)


def test_a_container_that_somebody_removes_is_started_anew(target, asked, client):
    asks = asked("slow", slow())
    step = target.submit(asks.request, "trainer")
    until(lambda: "begun" in said(step), SECONDS)
    client.remove_container(target.container(step), force=True)
    assert target.state(step) is StepState.FAILED
    assert "gone" in target.failure(step).what
    target.submit(asks.request, "trainer")
    until(lambda: "begun" in said(step), SECONDS)


def test_an_image_that_is_not_there_is_asked_for_by_its_command(settings, client, asked, no_image):
    with pytest.raises(InputError, match="make images RUNTIMES=quantise") as told:
        DockerTarget(settings, client).submit(asked("quick").request, "quantise")
    assert images.name("quantise") in told.value.what
    assert not settings.steps.joinpath("quick_lifecycle").exists() and containers(client, settings) == []


def test_a_registry_that_is_down_is_named_and_may_come_back(settings, client):
    with pytest.raises(ComponentError, match=r"127\.0\.0\.1:1"):
        DockerTarget(settings, client, EnginePlace(registry="127.0.0.1:1/team")).identity("trainer")


def test_an_image_for_another_processor_is_refused_before_anything_starts(settings, client):
    name = images.name("trainer", "elsewhere")
    client.load_image(_archive(name, "s390x"))
    try:
        with pytest.raises(InputError, match="is for s390x"):
            DockerTarget(settings, client, EnginePlace(registry="elsewhere")).identity("trainer")
    finally:
        client.remove_image(name, force=True)


def _archive(name: str, architecture: str) -> bytes:
    """An empty image, as `docker save` writes one."""
    config = {"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}, "history": []}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": []}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in {"config.json": config, "manifest.json": manifest}.items():
            data = json.dumps(content).encode()
            found = tarfile.TarInfo(path)
            found.size = len(data)
            tar.addfile(found, io.BytesIO(data))
    return archive.getvalue()


def test_a_host_without_gpus_says_so_before_and_after_a_lease(target, asked, settings, client):
    if _has_gpu(client):
        pytest.skip("this Docker host has a GPU")
    with pytest.raises(InputError, match="can hand no GPU"):
        target.check_gpu("trainer")
    with pytest.raises(InputError, match="can hand no GPU"):
        target.submit(asked("quick").request, "trainer", {"CUDA_VISIBLE_DEVICES": "GPU-1", "NVIDIA_VISIBLE_DEVICES": "GPU-1"})
    assert containers(client, settings) == []


def test_a_simulated_gpu_is_told_of_and_not_handed_over(target, asked, settings):
    agent = settings.supervisor_programs / "gpu-agent.json"
    agent.parent.mkdir(parents=True)
    agent.write_text(json.dumps({"command": ["python", "--source", "declared", "--reporter", "here", "--token-file", "here.token"]}))
    target.check_gpu("trainer")
    source = (
        "import os, pandas as pd\ndef load():\n    print('HAS', os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "    return pd.DataFrame({'x': range(40), 'y': [0, 1] * 20})"
    )
    step = target.submit(asked("slow", source).request, "trainer", {"CUDA_VISIBLE_DEVICES": "declared/here/gpu-0"})
    assert finish(target, step) is StepState.SUCCEEDED, said(step)
    assert "HAS declared/here/gpu-0" in said(step)


def _has_gpu(client) -> bool:
    return "nvidia" in client.info()["Runtimes"]


@pytest.mark.parametrize(
    ("place", "limits", "field"),
    [
        (EnginePlace(mounts=("/no/such/folder:/data:ro",)), Limits(), "connection updraft_docker"),
        (EnginePlace(network="no-such-network"), Limits(), "connection updraft_docker: network"),
        (EnginePlace(), Limits(cpus=1024), "model.yaml: limits.cpus"),
        (EnginePlace(), Limits(memory="1MiB"), "model.yaml: limits.memory"),
    ],
)
def test_what_the_engine_refuses_names_the_field(settings, client, target, asked, place, limits, field):
    with pytest.raises(InputError) as told:
        DockerTarget(settings, client, place, limits).submit(asked("quick").request, "trainer")
    assert told.value.where == field and told.value.remedy
    assert containers(client, settings) == []


def test_further_folders_and_limits_reach_the_container(settings, client, target, asked, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "rows.csv").write_text("x,y\n" + "1,0\n2,1\n" * 20)
    source = "import pandas as pd\ndef load():\n    return pd.read_csv('/data/rows.csv')"
    own = DockerTarget(settings, client, EnginePlace(mounts=(f"{tmp_path}/more:/data:ro",)), Limits(memory="2GiB", cpus=0.5))
    step = own.submit(asked("slow", source).request, "trainer")
    host = client.inspect_container(own.container(step))["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 2 << 30 and host["NanoCpus"] == 500_000_000
    assert finish(own, step) is StepState.SUCCEEDED, said(step)


@pytest.mark.parametrize(
    "extra", [{"mounts": "/data:/data"}, {"mounts": ["data:/data"]}, {"mounts": ["/a:/b:rx"]}, {"network": 5}, {"tmp": ""}]
)
def test_a_connection_with_a_wrong_word_is_refused_by_name(extra):
    with pytest.raises(InputError, match=next(iter(extra))) as told:
        EnginePlace.of(extra)
    assert told.value.where == "connection updraft_docker" and told.value.remedy


def test_an_engine_that_is_away_for_a_moment_costs_a_running_step_nothing(settings, target, asked, monkeypatch):
    door = Door()
    far = DockerTarget(settings, APIClient(base_url=door.url, version="auto"))
    asks = asked("slow", slow())
    step = far.submit(asks.request, "trainer")
    until(lambda: "begun" in said(step), SECONDS)
    door.shut()
    assert far.state(step) is StepState.RUNNING
    door.shut(to=False)
    assert far.submit(asks.request, "trainer") == step and said(step).count("begun") == 1
    door.shut()
    assert far.state(step) is StepState.RUNNING
    monkeypatch.setattr("include.targets.docker.PATIENCE_S", 0.0)
    with pytest.raises(ComponentError, match="does not answer"):
        far.state(step)
    with pytest.raises(ComponentError, match="does not answer"):
        far.stop(step)
    door.close()
    assert target.state(step) is StepState.RUNNING  # a retry finds it
