"""What callers notice when something is killed."""

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace

import httpx
import pytest

from include.backends.triton.guard import children
from include.gateway.clusters import HEALTH_INTERVAL_S
from include.gateway.observe import arm, read_entries
from include.gateway.table import Split
from include.serving.drain import drain
from tests.include.serving.stage import settled
from tests.waiting import until

pytestmark = pytest.mark.integration


def test_envoy_killed_comes_back_with_the_same_split(stage, duo):
    stage.gateway.set_split("duo", {"1": 40, "2": 60})
    os.kill(stage.supervisor.info("envoy")[1], signal.SIGKILL)

    def answers():
        try:
            return stage.infer("duo").status_code == 200
        except httpx.HTTPError:
            return False

    until(answers)
    assert stage.gateway.split("duo") == Split({"1": 40, "2": 60})
    stage.gateway.wait_applied()


def test_a_split_set_while_envoy_is_down_holds_when_it_is_back(stage, duo):
    stage.supervisor._call("stopProcess", "envoy", True)
    try:
        stage.gateway.set_split("duo", {"2": 100})
    finally:
        stage.supervisor._call("startProcess", "envoy", True)
    until(stage.gateway.admin.running)
    stage.gateway.wait_applied()
    assert stage.infer("duo").headers["x-updraft-revision"] == "2"


def test_a_dead_revisions_requests_are_answered_by_the_other_and_counted_against_it(stage, duo):
    victim = stage.serve("duo", "4")
    stage.gateway.add_revision(victim.endpoint())
    stage.gateway.set_split("duo", {"1": 50, "4": 50})
    cursor = stage.mark()
    # Stopped, and so not started again; to the gateway it is as dead as after kill -9.
    stage.backend.stop(victim)
    begun, answers = time.monotonic(), Counter()
    while time.monotonic() - begun < 2 * HEALTH_INTERVAL_S + 2:
        answer = stage.infer("duo")
        answers[answer.status_code, answer.headers.get("x-updraft-revision")] += 1
    assert set(answers) == {(200, "1")}
    late = stage.mark()
    for _ in range(40):
        assert stage.infer("duo").status_code == 200
    until(lambda: len(read_entries(stage.gateway.access_log, late)[0]) == 40)
    entries, _ = read_entries(stage.gateway.access_log, late)
    # Past the health interval it is not even tried any more.
    assert max(entry.attempts for entry in entries) == 1
    dead = arm(read_entries(stage.gateway.access_log, cursor)[0], "duo", "4")
    assert dead.requests == dead.errors > 0
    stage.gateway.set_split("duo", {"1": 100})
    stage.gateway.remove_revision("duo", "4")


@pytest.mark.parametrize("process", ["server", "guard"])
def test_a_lone_revision_killed_is_waited_for(stage, process):
    """Nobody else can answer: connection after connection is tried until supervisord has a server up again."""
    revision = stage.serve("lonely", "1")
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("lonely", {"1": 100})
    assert stage.infer("lonely").status_code == 200
    server = settled(stage, revision)
    os.kill(server if process == "server" else stage.supervisor.info(revision.program)[1], signal.SIGKILL)
    statuses = Counter()

    def answered() -> bool:
        statuses[stage.infer("lonely").status_code] += 1
        return statuses[200] >= 100

    until(answered)
    stage.gateway.retire("lonely")
    stage.backend.stop(revision)
    # Requests already on a connection to the dying server are lost: they may have reached the model.
    assert sum(count for status, count in statuses.items() if status != 200) <= 3, statuses


def test_a_killed_stub_costs_its_own_requests_only(stage):
    revision = stage.serve("stubborn", "1")
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("stubborn", {"1": 100})
    assert stage.infer("stubborn").status_code == 200
    os.kill(children(settled(stage, revision))[0], signal.SIGKILL)
    statuses = [stage.infer("stubborn").status_code for _ in range(50)]
    stage.gateway.retire("stubborn")
    stage.backend.stop(revision)
    assert sum(status != 200 for status in statuses) <= 3, statuses


def test_a_drained_revision_cuts_no_request(stage, duo):
    slow = stage.serve("duo", "5", sleep_s=0.7)
    stage.gateway.add_revision(slow.endpoint())
    stage.gateway.set_split("duo", {"5": 100})
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(stage.infer("duo"))) for _ in range(3)]
    for caller in callers:
        caller.start()
    until(lambda: stage.gateway.admin.active_requests(slow.endpoint().cluster) == 3)
    stage.gateway.set_split("duo", {"1": 100})
    drained = drain(stage.gateway.admin, slow.endpoint().cluster, 10)
    stage.gateway.remove_revision("duo", "5")
    stage.backend.stop(slow)
    for caller in callers:
        caller.join()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["x-updraft-revision"] for answer in answers} == {"5"}
    assert drained.idle
    assert drained.waited_s > 0.5


def test_a_drain_that_takes_too_long_says_so(stage, duo):
    slow = stage.serve("duo", "6", sleep_s=2)
    stage.gateway.add_revision(slow.endpoint())
    stage.gateway.set_split("duo", {"6": 100})
    caller = threading.Thread(target=lambda: stage.infer("duo"))
    caller.start()
    until(lambda: stage.gateway.admin.active_requests(slow.endpoint().cluster) == 1)
    stage.gateway.set_split("duo", {"1": 100})
    drained = drain(stage.gateway.admin, slow.endpoint().cluster, 0.3)
    caller.join()
    stage.gateway.remove_revision("duo", "6")
    stage.backend.stop(slow)
    assert not drained.idle
    assert drained.active == 1


@pytest.fixture
def sleeper(stage):
    """A lone revision that takes 0.8 s, more than the gateway grants it."""
    revision = stage.serve("sleeper", "1", sleep_s=0.8)
    stage.gateway.add_revision(replace(revision.endpoint(), timeout_s=0.5))
    stage.gateway.set_split("sleeper", {"1": 100})
    yield "sleeper"
    stage.gateway.retire("sleeper")
    stage.backend.stop(revision)


def test_a_model_that_is_too_slow_is_given_up_and_counted(stage, sleeper):
    cursor = stage.mark()
    answer = stage.infer(sleeper)
    assert answer.status_code == 504
    assert "did not answer in time" in answer.json()["error"]
    until(lambda: read_entries(stage.gateway.access_log, cursor)[0])
    seen = arm(read_entries(stage.gateway.access_log, cursor)[0], sleeper, "1")
    assert (seen.requests, seen.errors) == (1, 1)


def test_a_caller_that_leaves_is_nobodys_error(stage, sleeper):
    cursor = stage.mark()
    with pytest.raises(httpx.TimeoutException):
        stage.infer(sleeper, timeout=0.2)
    until(lambda: read_entries(stage.gateway.access_log, cursor)[0])
    seen = arm(read_entries(stage.gateway.access_log, cursor)[0], sleeper, "1")
    assert (seen.requests, seen.errors) == (0, 0)


def test_a_dead_mirror_is_no_callers_business(stage, duo):
    endpoint = stage.gateway.revisions("duo")["1"]
    stage.gateway.add_revision(replace(endpoint, revision="7", port=9))
    stage.gateway.set_split("duo", {"1": 100}, mirror="7")
    cursor = stage.mark()
    assert [stage.infer("duo").status_code for _ in range(5)] == [200] * 5
    until(lambda: len(read_entries(stage.gateway.access_log, cursor)[0]) == 10)
    mirrored = arm(read_entries(stage.gateway.access_log, cursor)[0], "duo", "7", "mirror")
    stage.gateway.set_split("duo", {"1": 100})
    stage.gateway.remove_revision("duo", "7")
    assert (mirrored.requests, mirrored.errors) == (5, 5)
