"""Servers as containers, on a real engine (that of DOCKER_HOST) with the image of Triton, and of llama.cpp and vLLM for a test each."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from docker.api.client import APIClient

from include.backends.llamacpp.spec import LlamaCppServe
from include.backends.triton.guard import children
from include.backends.triton.spec import TritonServe
from include.backends.vllm.spec import VllmServe
from include.bundles import chat_golden
from include.bundles import golden_probe as golden
from include.bundles.chat import ChatBundle
from include.bundles.table import Bundle
from include.errors import ComponentError, InputError
from include.gateway.table import Split
from include.platform import supervisord
from include.runtime.supervisor import State
from include.serving.docker import DockerHost
from include.serving.lease import RevisionLease
from include.serving.revision import Revision, RevisionState
from include.serving.revisions import Revisions
from include.spec.parts import Limits
from include.targets import images
from include.targets.containers import EngineAccess, EnginePlace
from include.verdict import Decision
from tests import stranger
from tests.include.backends.vllm.test_vllm import bundle
from tests.include.serving.stage import Stage
from tests.include.targets.engine import Door, engine, with_image
from tests.waiting import until

__all__ = ["bundle"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SECONDS = 120
SERVE = TritonServe(batch_delay_us=0, drain_s=2, start_timeout_s=SECONDS)
HERE = EngineAccess.of({}, os.environ)
DOCKER = "docker"


@pytest.fixture(scope="module")
def client() -> Any:
    return with_image(engine(), "triton")


@pytest.fixture(scope="module")
def stage(client: Any) -> Iterator[Stage]:
    """One of its own: it is stopped and started here. What it leaves on the engine is removed."""
    stage = Stage()
    yield stage
    stage.close()
    for name in containers(client, stage):
        client.remove_container(name, force=True)


@pytest.fixture(scope="module")
def backend(stage: Stage) -> Revisions:
    return on(stage)


@pytest.fixture(scope="module")
def revision(stage: Stage, backend: Revisions) -> Iterator[Revision]:
    revision = backend.start(stage.bundles / "good", "plain", "1", SERVE, target=DOCKER)
    yield revision
    backend.stop(revision)


def on(stage: Stage, place: EnginePlace | None = None, access: EngineAccess = HERE) -> Revisions:
    """Revisions on the engine, used like this."""

    def reach() -> tuple[EngineAccess, EnginePlace, APIClient]:
        return access, place or EnginePlace(), access.client()

    return Revisions(stage.settings, stage.supervisor, {DOCKER: lambda: DockerHost(stage.settings, stage.supervisor, reach)})


def containers(client: Any, stage: Stage, program: str = "") -> dict[str, str]:
    """Ids by name, of the platform or of one revision."""
    labels = [f"updraft.home={stage.settings.home}"] + ([f"updraft.revision={program}"] if program else [])
    return {one["Names"][0].lstrip("/"): one["Id"] for one in client.containers(all=True, filters={"label": labels})}


def only(client: Any, stage: Stage, revision: Revision) -> str:
    """The id of its server's container; fails when it has none, or more."""
    (found,) = (one for name, one in containers(client, stage, revision.program).items() if not name.endswith("-network"))
    return found


def nothing_left(client: Any, stage: Stage, model: str, version: str = "1") -> bool:
    program = f"revision-{model}-{version}"
    return (
        stage.backend.find(model, version) is None
        and stage.supervisor.state(program) is State.ABSENT
        and not containers(client, stage, program)
        and not list((stage.settings.home / "containers").glob(f"{program}*"))
    )


def answers(stage: Stage, revision: Revision) -> bool:
    try:
        url = f"{revision.url}/v2/models/{revision.model}/infer"
        return httpx.post(url, json=stage.golden_request(), headers=stage.key(revision), timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_revision_answers_through_the_gateway_from_its_container(client, stage, backend, revision):
    assert backend.state(revision) is RevisionState.RUNNING and revision in backend.list("plain")
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("plain", {"1": 100})
    assert stage.infer("plain").status_code == 200
    verdict = golden.check(revision.url, stage.key(revision), "plain", Bundle.read(stage.bundles / "good").golden, max_batch_size=3)
    assert verdict.decision is Decision.PASS, verdict.reasons
    assert stage.gateway.split("plain") == Split({"1": 100})
    stage.gateway.retire("plain")


def test_its_container_may_do_and_see_little(client, stage, revision):
    found = client.inspect_container(only(client, stage, revision))
    host, config = found["HostConfig"], found["Config"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and "no-new-privileges" in host["SecurityOpt"]
    assert config["User"] == f"{os.getuid()}:{os.getgid()}"
    writable = [mount["Source"] for mount in found["Mounts"] if mount["RW"]]
    assert writable == [str(stage.settings.revisions / "plain" / "1" / "scratch")]


def test_starting_the_same_again_returns_the_running_one(client, stage, backend, revision):
    before = only(client, stage, revision)
    assert backend.start(stage.bundles / "good", "plain", "1", SERVE, target=DOCKER) == revision
    assert only(client, stage, revision) == before


def test_a_killed_server_comes_back(client, stage, backend, revision):
    before = only(client, stage, revision)
    first = client.inspect_container(before)["State"]["Pid"]
    for process in (*children(first), first):
        os.kill(process, signal.SIGKILL)
    until(lambda: before not in containers(client, stage).values(), SECONDS)
    until(lambda: answers(stage, revision), SECONDS)
    assert only(client, stage, revision) != before
    assert backend.state(revision) is RevisionState.RUNNING
    # Who waits for a new server must see that it has ended, however soon it is started again.
    host = DockerHost(stage.settings, stage.supervisor)
    assert host.state(revision.program) is State.BACKOFF
    assert backend.start(stage.bundles / "good", "plain", "1", SERVE, target=DOCKER) == revision
    until(lambda: host.state(revision.program) is State.RUNNING, SECONDS)


def test_who_follows_it_may_be_killed_and_the_next_one_goes_on_with_it(client, stage, backend, revision):
    until(lambda: answers(stage, revision), SECONDS)
    before, follower = only(client, stage, revision), stage.supervisor.info(revision.program)[1]
    os.kill(follower, signal.SIGKILL)
    until(lambda: stage.supervisor.info(revision.program)[1] not in (0, follower), SECONDS)
    begun = time.monotonic()
    while time.monotonic() - begun < 5:
        assert answers(stage, revision)
    assert only(client, stage, revision) == before


def test_the_platform_stopped_and_started_ends_and_starts_it(client, stage, backend, revision):
    stage.supervisor.shutdown()
    assert not containers(client, stage)
    supervisord.start(stage.settings)
    until(lambda: answers(stage, revision), SECONDS)
    assert len(containers(client, stage, revision.program)) == 1


def test_a_stopped_revision_leaves_nothing(client, stage, backend):
    revision = backend.start(stage.bundles / "good", "brief", "1", SERVE, target=DOCKER)
    backend.stop(revision)
    assert nothing_left(client, stage, "brief")
    backend.stop(revision)  # again: nothing happens


def test_a_revision_that_moves_to_a_container_leaves_no_process(client, stage, backend):
    was = stage.backend.start(stage.bundles / "good", "mover", "1", SERVE)
    now = backend.start(stage.bundles / "good", "mover", "1", SERVE, target=DOCKER)
    assert (was.target, now.target) == ("process", DOCKER) and answers(stage, now)
    back = backend.start(stage.bundles / "good", "mover", "1", SERVE)
    assert answers(stage, back) and not containers(client, stage, back.program)
    backend.stop(back)


def test_a_model_that_does_not_load_says_why_and_leaves_nothing(client, stage, backend):
    with pytest.raises(ComponentError, match=r"model\.onnx"):
        backend.start(stage.bundles / "corrupt", "corrupt", "1", SERVE, target=DOCKER)
    assert nothing_left(client, stage, "corrupt")


def test_paused_its_container_is_gone_and_resumed_it_has_its_new_lease(client, stage, backend):
    """By whoever has no connection at hand, as the keeper of leases."""
    lease = RevisionLease("revision/leased/1", {"gpus": 1}, "l1", 1, "r1", {"CUDA_VISIBLE_DEVICES": "declared/here/gpu-0"})
    revision = backend.start(stage.bundles / "good", "leased", "1", SERVE, lease=lease, target=DOCKER)
    other = Revisions(stage.settings, stage.supervisor)
    other.pause(revision)
    other.keep_lease(revision, lease.without())
    assert not containers(client, stage, revision.program)
    assert other.state(revision) is RevisionState.PREEMPTED
    other.resume(revision, replace(lease, lease_id="l2", environment={"CUDA_VISIBLE_DEVICES": "declared/here/gpu-1"}))
    until(lambda: other.state(revision) is RevisionState.RUNNING, SECONDS)
    environment = client.inspect_container(only(client, stage, revision))["Config"]["Env"]
    assert "CUDA_VISIBLE_DEVICES=declared/here/gpu-1" in environment
    other.stop(revision)
    assert nothing_left(client, stage, "leased")


def test_a_server_that_needs_more_memory_than_its_limit_says_so_and_leaves_nothing(client, stage, backend):
    small = SERVE.model_copy(update={"limits": Limits(memory="40MiB")})
    with pytest.raises(ComponentError, match=r"more than 40MiB.*serve\.limits\.memory"):
        backend.start(stage.bundles / "good", "greedy", "1", small, target=DOCKER)
    assert nothing_left(client, stage, "greedy")


def test_limits_reach_the_container(client, stage, backend):
    serve = SERVE.model_copy(update={"limits": Limits(memory="2GiB", cpus=1.5)})
    revision = backend.start(stage.bundles / "good", "bounded", "1", serve, target=DOCKER)
    host = client.inspect_container(only(client, stage, revision))["HostConfig"]
    assert host["Memory"] == 2 << 30 and host["NanoCpus"] == 1_500_000_000
    backend.stop(revision)


def test_a_server_with_a_network_of_its_own_is_reached_at_the_place_s_address(client, stage):
    own = on(stage, EnginePlace(network="bridge"))
    revision = own.start(stage.bundles / "good", "bridged", "1", SERVE, target=DOCKER)
    assert revision.host == "127.0.0.1" and answers(stage, revision)
    bound = client.inspect_container(only(client, stage, revision))["HostConfig"]["PortBindings"]
    assert not bound
    known = containers(client, stage, revision.program)
    (holder,) = (one for name, one in known.items() if name.endswith("-network"))
    bound = client.inspect_container(holder)["HostConfig"]["PortBindings"]
    assert bound[f"{revision.http_port}/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(revision.http_port)}]
    own.stop(revision)
    assert nothing_left(client, stage, "bridged")


@stranger.needs_root
@pytest.mark.parametrize("network", ["host", "bridge"])
def test_nobody_else_can_listen_at_its_port_while_its_container_is_away(client, stage, network):
    own = on(stage, EnginePlace(network=network))
    lease = RevisionLease("revision/held/1", {"gpus": 1}, "l1", 1, "r1", {"CUDA_VISIBLE_DEVICES": "declared/here/gpu-0"})
    revision = own.start(stage.bundles / "good", "held", "1", SERVE, lease=lease, target=DOCKER)
    with stranger.crowding(revision.http_port):
        for _ in range(2):
            before = only(client, stage, revision)
            client.kill(before)
            until(lambda before=before: before not in containers(client, stage).values() and answers(stage, revision), SECONDS)
        if network == "host":  # Docker frees what it has published
            own.pause(revision)
            own.keep_lease(revision, lease.without())
            assert not containers(client, stage, revision.program) and stranger.tries(revision.http_port) == []
            own.resume(revision, replace(lease, lease_id="l2"))
            until(lambda: answers(stage, revision), SECONDS)
    own.stop(revision)
    assert nothing_left(client, stage, "held") and stranger.tries(revision.http_port)


def test_a_server_listens_at_the_place_s_address_and_nowhere_else(client, stage):
    bridge = client.inspect_network("bridge")["IPAM"]["Config"][0]
    address = bridge.get("Gateway") or str(ip_network(bridge["Subnet"])[1])  # not every engine names it
    far = on(stage, EnginePlace(address=address))
    try:
        revision = far.start(stage.bundles / "good", "addressed", "1", SERVE, target=DOCKER)
    except ComponentError:
        pytest.skip(f"this machine has no address {address}")
    assert revision.host == address
    until(lambda: answers(stage, revision), SECONDS)
    assert not answers(stage, replace(revision, host="127.0.0.1"))
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("addressed", {"1": 100})
    assert stage.infer("addressed").status_code == 200
    stage.gateway.retire("addressed")
    far.stop(revision)


def test_an_image_that_is_not_there_is_asked_for_by_its_command(client, stage, backend, monkeypatch, tmp_path):
    (tmp_path / "new.lock").write_text(f"more=={time.time()}\n")
    monkeypatch.setitem(images.RUNTIMES, "triton", tmp_path / "new.lock")
    with pytest.raises(InputError, match="make images RUNTIMES=triton"):
        backend.start(stage.bundles / "good", "imageless", "1", SERVE, target=DOCKER)
    assert nothing_left(client, stage, "imageless")


def test_a_registry_that_is_down_is_named(client, stage):
    with pytest.raises(ComponentError, match=r"127\.0\.0\.1:1"):
        on(stage, EnginePlace(registry="127.0.0.1:1/team")).start(stage.bundles / "good", "unpulled", "1", SERVE, target=DOCKER)
    assert nothing_left(client, stage, "unpulled")


def test_a_host_without_gpus_says_so_before_and_after_a_lease(client, stage, backend):
    if "nvidia" in client.info()["Runtimes"]:
        pytest.skip("this Docker host has a GPU")
    with pytest.raises(InputError, match="can hand no GPU"):
        backend.check_gpu(SERVE, DOCKER)
    lease = RevisionLease("revision/seeing/1", {"gpus": 1}, "l1", 1, "r1", {"CUDA_VISIBLE_DEVICES": "GPU-1"})
    with pytest.raises(ComponentError, match="can hand no GPU"):
        backend.start(stage.bundles / "good", "seeing", "1", SERVE, lease=lease, target=DOCKER)
    assert nothing_left(client, stage, "seeing")


def test_an_engine_that_is_away_costs_a_server_nothing(client, stage):
    door = Door()
    far = on(stage, access=EngineAccess(door.url))
    revision = far.start(stage.bundles / "good", "distant", "1", SERVE, target=DOCKER)
    before = only(client, stage, revision)
    door.shut()
    assert answers(stage, revision) and far.state(revision) is RevisionState.RUNNING
    with pytest.raises(ComponentError, match="does not answer"):
        far.start(stage.bundles / "good", "later", "1", SERVE, target=DOCKER)
    assert nothing_left(client, stage, "later")
    door.shut(to=False)
    time.sleep(3)
    assert answers(stage, revision) and only(client, stage, revision) == before
    far.stop(revision)
    door.close()
    assert nothing_left(client, stage, "distant")


def test_a_server_that_cannot_be_ended_is_not_forgotten(client, stage, monkeypatch):
    door = Door()
    far = on(stage, access=EngineAccess(door.url))
    revision = far.start(stage.bundles / "good", "stubborn", "1", SERVE, target=DOCKER)
    door.shut()
    with pytest.raises(ComponentError, match="does not answer"):
        far.stop(revision)
    assert far.find("stubborn", "1") == revision
    door.shut(to=False)
    far.stop(revision)
    door.close()
    assert nothing_left(client, stage, "stubborn")


def test_a_full_disk_is_told_and_leaves_nothing(client, stage, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("this user can mount nothing")
    try:
        with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        settings = replace(stage.settings, home=folder)
        host = DockerHost(settings, stage.supervisor, lambda: (HERE, EnginePlace(), HERE.client()))
        with pytest.raises(ComponentError, match="disk full"):
            Revisions(settings, stage.supervisor, {DOCKER: lambda: host}).start(stage.bundles / "good", "full", "1", SERVE, target=DOCKER)
        assert not (folder / "revisions" / "full" / "1").exists() and nothing_left(client, stage, "full")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_language_model_answers_from_its_container(client, stage, backend):
    with_image(client, "llm")
    bundle = stage.chat_bundle()
    serve = LlamaCppServe(context=256, parallel=2, drain_s=2, start_timeout_s=SECONDS)
    revision = backend.start(bundle, "talker", "1", serve, target=DOCKER)
    verdict = chat_golden.check(revision.url, stage.key(revision), "talker", ChatBundle.read(bundle).golden)
    backend.stop(revision)
    assert verdict.decision is Decision.PASS, verdict.reasons
    assert nothing_left(client, stage, "talker")


def test_a_server_is_back_after_its_engine_was_stopped_and_after_it_was_killed(client, tmp_path):
    """The engine is another one, in a network of its own: it is not to be the one that others use."""
    if os.geteuid() or not shutil.which("dockerd") or not HERE.url.startswith("unix://"):
        pytest.skip("needs root, dockerd and an engine of this machine")
    folder = Path(tempfile.mkdtemp(prefix="ud-", dir="/tmp"))  # a socket's path is short
    script = ["tests.include.serving.own_engine", str(folder), HERE.url, images.name("triton")]
    try:
        done = subprocess.run(["unshare", "--net", sys.executable, "-m", *script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_vllm_answers_from_its_container(client, stage, backend, bundle):
    with_image(client, "vllm")
    serve = VllmServe(context=2048, parallel=8, drain_s=2, start_timeout_s=480)
    revision = backend.start(bundle, "speaker", "1", serve, target=DOCKER)
    verdict = chat_golden.check(revision.url, stage.key(revision), "speaker", ChatBundle.read(bundle).golden)
    backend.stop(revision)
    assert verdict.decision is Decision.PASS, verdict.reasons
    assert nothing_left(client, stage, "speaker")
