"""A language model in production: real llama.cpp, Envoy and MLflow."""

import json
import shutil
import threading
import time

import pytest

from include.backends import options
from include.backends.llamacpp.spec import LlamaCppServe
from include.release import bundle as bundles
from include.serving.revision import RevisionState
from include.verdict import Decision
from lifecycle.standby import end_expired
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SERVE = LlamaCppServe(context=4096, parallel=2, drain_s=20, request_timeout_s=60)


@pytest.fixture(scope="module")
def bundle(stage):
    return stage.chat_bundle()


@pytest.fixture
def champion(room, bundle):
    version = room.register(1, bundle, SERVE)
    assert room.deploy(version).decision is Decision.PASS
    room.site.promote(version, 2)
    return version


def chat(room, **body):
    ask = {"model": room.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0} | body
    return room.stage.client.post("/v1/chat/completions", json=ask)


def test_the_options_of_a_language_model_are_kept_with_its_bundle(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    bundles.complete(tmp_path / "bundle", tmp_path, SERVE, {})
    assert options.read(tmp_path / "bundle") == (SERVE, {})


def test_the_champion_answers_at_the_gateway_by_the_name_in_the_body(room, champion):
    answer = chat(room)
    assert answer.status_code == 200
    assert answer.json()["model"] == room.model
    assert room.serving == ({str(champion): 100}, {str(champion)}, {str(champion)})


def test_a_version_that_answers_wrongly_gets_no_traffic_and_is_not_left_running(room, champion, bundle, tmp_path):
    spoilt = shutil.copytree(bundle, tmp_path / "spoilt")
    golden = json.loads((spoilt / "golden.json").read_text())
    golden["prompts"][0]["answer"] = "Four."
    (spoilt / "golden.json").write_text(json.dumps(golden))
    verdict = room.deploy(room.register(2, spoilt, SERVE))
    assert verdict.decision is Decision.FAIL
    assert "(wanted: 'Four.')" in verdict.reasons[0]
    assert room.serving == ({str(champion): 100}, {str(champion)}, {str(champion)})
    assert room.told[-1][1] is RevisionState.ERROR


def test_promotion_lets_an_answer_finish_that_streams(room, champion, bundle):
    """Its revision is out of traffic, and ends only afterwards."""
    second = room.register(2, bundle, SERVE)
    room.deploy(second)
    lines: list[str] = []
    begun = threading.Event()

    def caller():
        body = {"model": room.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3000, "stream": True}
        with room.stage.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                begun.set()

    thread = threading.Thread(target=caller)
    thread.start()
    assert begun.wait(20)
    room.site.promote(second, 20)
    thread.join(20)
    assert "data: [DONE]" in lines
    assert room.serving == ({str(second): 100}, {str(second)}, {str(second)})


def test_no_request_fails_while_the_champion_changes_and_changes_back(room, champion, bundle):
    second = room.register(2, bundle, SERVE)
    room.deploy(second)
    done, statuses = threading.Event(), []

    def caller():
        while not done.is_set():
            statuses.append(chat(room).status_code)
            time.sleep(0.01)

    thread = threading.Thread(target=caller)
    thread.start()
    room.site.challenge(second)
    room.stage.gateway.set_split(room.model, {str(champion): 50, str(second): 50})
    room.site.rollback(second, 5)
    room.deploy(second)
    room.site.promote(second, 5)
    done.set()
    thread.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}


# Standby


def test_the_champion_that_is_succeeded_stands_by_and_is_returned_to_without_a_start(room, champion, bundle):
    first = room.stage.backend.find(room.model, str(champion))
    server = room.stage.supervisor.info(first.program)[1]
    second = room.register(2, bundle, SERVE)
    room.deploy(second)
    for _ in range(2):  # a promotion may be repeated
        room.site.promote(second, 2, standby_s=600)
    assert room.serving == ({str(second): 100}, {str(champion), str(second)}, {str(champion), str(second)})
    assert room.told[-1] == (champion, RevisionState.STANDBY)
    room.site.end_standby(keep=champion)
    assert room.deploy(champion).decision is Decision.PASS
    room.site.promote(champion, 2)
    assert room.serving == ({str(champion): 100}, {str(champion)}, {str(champion)})
    assert room.stage.supervisor.info(first.program)[1] == server
    assert room.stage.backend.standby(first) is None


def test_standby_ends_when_its_room_is_needed_and_when_its_time_is_over(room, champion, bundle):
    second = room.register(2, bundle, SERVE)
    room.deploy(second)
    room.site.promote(second, 2, standby_s=0.01)
    ended: list[str] = []
    until(lambda: ended.extend(end_expired(room.stage.backend, lambda model: room.site)) or ended)
    assert ended == [f"revision-{room.model}-{champion}"]
    assert room.serving == ({str(second): 100}, {str(second)}, {str(second)})
    room.deploy(champion)
    room.site.promote(champion, 2, standby_s=600)
    assert end_expired(room.stage.backend, lambda model: room.site) == []
    room.site.end_standby()
    assert room.serving == ({str(champion): 100}, {str(champion)}, {str(champion)})
    assert room.told[-1] == (second, RevisionState.STOPPED)
