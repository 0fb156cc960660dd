"""What every backend promises on every host that is at hand, with the real server: as a process of this machine, as a container of the
engine of DOCKER_HOST (`make test-docker`), as a pod of the cluster of KUBECONFIG (`make test-cluster`)."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from include.backends.backend import Launch, Place
from include.backends.registry import BACKENDS, backend, serve_of
from include.errors import ComponentError, InputError
from include.runtime.settings import REPO
from include.serving.drain import drain
from include.serving.gpu_ask import gpu_ask
from include.serving.lease import RevisionLease
from include.serving.revision import Revision, RevisionState
from include.spec.parts import AUTO, ServeResources
from tests.include.backends.cases import CASES, WAITS, Case, keyed
from tests.include.backends.grounds import GROUNDS, Ground
from tests.include.serving.stage import Stage
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
PAIRS = [(case, name) for case in CASES for name in ("process", *case.elsewhere)]
each_backend = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
"""For what no host has a part in."""


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0].name}-{pair[1]}")
def pair(request: pytest.FixtureRequest) -> tuple[Case, str]:
    found: tuple[Case, str] = request.param
    return found


@pytest.fixture(scope="module")
def case(pair: tuple[Case, str]) -> Case:
    return pair[0]


@pytest.fixture(scope="module")
def ground(stage: Stage, pair: tuple[Case, str]) -> Iterator[Ground]:
    """Where it runs."""
    case, name = pair
    found = GROUNDS[name](stage)
    try:
        found.needs(case.serve)
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def bundle(stage: Stage, case: Case) -> Path:
    return case.bundle(stage)


@pytest.fixture(scope="module")
def start(ground: Ground, case: Case) -> Callable[..., Revision]:
    def start(bundle: Path, model: str, version: str = "1", lease: RevisionLease | None = None) -> Revision:
        return ground.revisions.start(bundle, model, version, case.serve, {}, lease, ground.name)

    return start


@pytest.fixture(scope="module")
def revision(ground: Ground, case: Case, bundle: Path, start: Callable[..., Revision]) -> Iterator[Revision]:
    """Version 1, which sees a GPU of its lease."""
    found = start(bundle, f"of_{case.name}", lease=ground.lease)
    yield found
    ground.revisions.stop(found)


def test_every_registered_backend_is_tried_here():
    assert {case.name for case in CASES} == set(BACKENDS)


def test_it_is_ready_when_it_answers(stage, ground, case, revision):
    assert ground.revisions.state(revision) is RevisionState.RUNNING
    assert case.ask(stage, revision).status_code == 200
    assert httpx.get(revision.url + revision.health, headers=keyed(stage, revision), timeout=30).status_code == 200
    assert revision.endpoint().protocol == backend(case.name).protocol(case.serve)


def test_the_same_again_is_the_one_that_runs(ground, revision, bundle, start):
    server = ground.server(revision.program)
    assert start(bundle, revision.model) == revision
    assert ground.server(revision.program) == server != ""


def test_its_server_has_the_gpu_of_its_lease(ground, revision):
    assert ground.has_the_gpu(revision)


def test_its_figures_are_where_it_says(stage, ground, case, revision):
    launch = launch_of(stage, ground, case, revision)
    if launch.metrics is None:
        return
    port = revision.ports[backend(case.name).listens(case.serve).index(launch.metrics.port)]
    answer = httpx.get(f"http://{revision.host}:{port}{launch.metrics.path}", headers=keyed(stage, revision), timeout=30)
    assert answer.status_code == 200
    assert launch.metrics.waiting in answer.text


def test_it_listens_where_callers_come_and_nowhere_else(ground, revision):
    found = ground.listens(revision)
    assert found and found <= ground.offers(revision)


def test_a_stranger_at_its_port_is_told_nothing_but_whether_it_is_well(ground, case, revision):
    if not ground.asks_for_keys(case.serve):
        pytest.skip("its port answers whoever reaches it: docs/security.md says who that is")
    for path in ("/", "/v2", f"/v2/models/{revision.model}", "/v1/models", "/metrics", "/golden.json"):
        for headers in ({}, {"x-updraft-key": "guess"}):
            answer = httpx.get(revision.url + path, headers=headers, timeout=30)
            assert answer.status_code in (400, 401, 403, 404), path
            assert revision.model not in answer.text
    answer = httpx.get(revision.url + revision.health, timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_server_that_took_the_port_first_is_not_taken_for_another_models(stage, ground, revision):
    if revision.protocol == "own":
        return  # what it speaks, nobody here knows
    folder = stage.settings.revisions / "impostor" / "1"
    shutil.copytree(stage.settings.revisions / revision.model / "1", folder, ignore=shutil.ignore_patterns("cache", "scratch"))
    try:
        assert not ground.revisions.ready(replace(revision, model="impostor"))
    finally:
        shutil.rmtree(folder)


def test_two_versions_run_side_by_side_and_one_is_drained(stage, ground, case, revision, bundle, start):
    """The second is another server at its own ports. Out of traffic it ends what it has begun, and nothing of it is left."""
    if case.heavy:
        pytest.skip("a second server takes minutes: test_vllm.py has two at the gateway")
    second = start(bundle, revision.model, "2")
    assert not {(second.host, port) for port in second.ports} & {(revision.host, port) for port in revision.ports}
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.add_revision(second.endpoint())
    stage.gateway.set_split(revision.model, {"1": 50, "2": 50})
    assert case.ask(stage, second).status_code == case.ask(stage, revision).status_code == 200
    stage.gateway.set_split(revision.model, {"1": 100})
    assert drain(stage.gateway.admin, second.endpoint().cluster, 10).idle
    stage.gateway.retire(revision.model)
    ground.revisions.stop(second)
    assert ground.nothing_left(revision.model, "2")
    assert ground.revisions.ready(revision)


def test_a_wrong_bundle_is_refused_by_the_name_of_what_is_wrong(ground, case, bundle, start, tmp_path):
    file, says = case.broken
    spoilt = shutil.copytree(bundle, tmp_path / "spoilt")
    (spoilt / file).unlink()
    (spoilt / file).write_bytes(b"")
    with pytest.raises((InputError, ComponentError), match=says):
        start(spoilt, f"broken_{case.name}")
    assert ground.nothing_left(f"broken_{case.name}")


def test_killed_while_it_loads_it_comes_up_or_says_why_and_leaves_nothing(ground, case, bundle, start):
    if case.heavy:
        pytest.skip("a second server takes minutes: test_vllm.py kills one")
    model, killed = f"young_{case.name}", threading.Event()
    program = f"revision-{model}-1"

    def kill() -> None:
        until(lambda: ground.server(program), WAITS)
        ground.kill(program)
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        revision = start(bundle, model)
        assert ground.revisions.ready(revision)
        ground.revisions.stop(revision)
    except ComponentError as error:
        assert "ended while it loaded" in str(error)
    thread.join()
    assert killed.is_set()
    assert ground.nothing_left(model)


def test_killed_it_is_started_again(stage, ground, case, revision):
    if case.heavy:
        pytest.skip("another start takes half a minute: test_vllm.py kills one and waits for the next")
    server = ground.server(revision.program)
    ground.kill(revision.program)
    until(lambda: ground.server(revision.program) not in ("", server), 60)
    until(lambda: ground.revisions.ready(revision), WAITS)
    assert case.ask(stage, revision).status_code == 200


def test_paused_it_keeps_its_place_and_stopped_it_leaves_nothing(ground, revision):
    ground.revisions.pause(revision)
    assert ground.revisions.state(revision) is RevisionState.STOPPED
    ground.revisions.resume(revision, ground.lease)
    until(lambda: ground.revisions.ready(revision), WAITS)
    ground.revisions.stop(revision)
    ground.revisions.stop(revision)
    assert ground.nothing_left(revision.model)


@each_backend
def test_its_log_says_why_it_does_not_come_up(case, tmp_path):
    """The last line that a pattern finds, of those that the server writes among others."""
    from include.backends.cause import last_cause

    log = tmp_path / "server.log"
    log.write_text("starting\nsomething fell over\n")
    assert last_cause(log, backend(case.name).causes) == "starting | something fell over"


@each_backend
def test_memory_is_estimated_where_the_spec_may_ask_for_it(stage, case):
    bundle, serve = case.bundle(stage), case.serve.model_copy(update={"resources": ServeResources(memory=AUTO)})
    if not serve.sizes_memory:
        with pytest.raises(InputError, match=r"serve\.resources\.memory"):
            gpu_ask(serve, bundle)
        return
    ask = gpu_ask(serve, bundle)
    assert ask is not None and ask.memory_mib is not None and ask.memory_mib > 0


@pytest.mark.parametrize("name", BACKENDS)
def test_one_launch_is_the_same_wherever_it_is_rendered(name):
    """Nothing of this machine is in what an image starts."""
    serve = next(case.serve for case in CASES if case.name == name)
    found = backend(name)
    assert serve_of(serve.kind, name) is type(serve)
    launch = found.launch(found.planned(serve), inside(found.ports))
    told = " ".join((*launch.command, *launch.environment.values(), *launch.files.values()))
    assert str(REPO) not in told
    assert launch.command and launch.probes.ready.startswith("/") and launch.probes.live.startswith("/")
    assert "8000" in told and "0.0.0.0" in told


def inside(ports: tuple[str, ...]) -> Place:
    numbers, python = tuple(range(8000, 8000 + len(ports))), Path("/opt/updraft/.updraft/runtimes/any/bin/python")
    where = {"folder": Path("/models"), "code": Path("/opt/updraft"), "config": Path("/etc/updraft"), "scratch": Path("/tmp")}
    return Place("digits", "3", "revision-digits-3", host="0.0.0.0", ports=numbers, python=python, inside=True, drain_s=5, **where)


def launch_of(stage: Stage, ground: Ground, case: Case, revision: Revision) -> Launch:
    """As the revision's host starts it."""
    found, folder = backend(case.name), stage.settings.revisions / revision.model / revision.version / "repository"
    python = stage.settings.python(found.runtime(case.serve))
    return found.launch(
        found.laid(folder), replace(inside(found.ports), inside=False, folder=folder, python=python, scraped=ground.scraped)
    )
