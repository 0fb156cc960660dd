"""The load test's client, against a server at the test's pace, and against llama.cpp behind the real Envoy."""

import threading
import time

import pytest

from include.backends.llamacpp.spec import LlamaCppServe
from include.load_test import client
from include.load_test.client import LoadTarget
from include.spec.llm import LoadTest
from include.spec.serve import Slo
from tests.include.gateway.talker import Talker

PROMPTS = [[{"role": "user", "content": f"Question {number}?"}] for number in range(5)]
DELTA = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
EASY = Slo(ttft_ms=60_000, tpot_ms=60_000)


@pytest.fixture
def talker():
    """It goes on by itself."""
    server = Talker()
    server.pieces = (DELTA, DELTA + DELTA, STOP + USAGE + DONE)
    server.go_on = threading.Semaphore(10_000)
    yield server
    server.close()


def run(talker, slo=EASY, wait_s=20.0, **plan):
    target = LoadTarget(f"http://127.0.0.1:{talker.server_port}", {"x-api-key": "k"}, "chat")
    return client.run(target, PROMPTS, 16, LoadTest(**{"rates": (20,), "seconds": 1, **plan}), slo, version=7, wait_s=wait_s)


def test_every_prompt_is_asked_streamed_and_its_tokens_are_those_the_server_tells(talker):
    found = run(talker)
    (one,) = found.rates
    assert (one.failed, found.version, found.best_rate) == (0, 7, 20)
    assert one.requests == len(talker.asked) > 5
    assert {asked["body"]["messages"][0]["content"] for asked in talker.asked} == {prompt[0]["content"] for prompt in PROMPTS}
    assert all(asked["body"]["stream"] and asked["body"]["max_tokens"] == 16 for asked in talker.asked)
    assert one.tokens_per_s == pytest.approx(3 * one.answered_per_s, rel=0.01)


def test_rates_rise_until_one_misses_the_slo(talker):
    hard = run(talker, Slo(ttft_ms=1e-6), rates=(5, 10, 20))
    assert [one.rate for one in hard.rates] == [5] and hard.best_rate is None
    assert [one.rate for one in run(talker, rates=(5, 10), seconds=0.3).rates] == [5, 10]


def test_a_server_that_stalls_does_not_slow_its_own_test_down(talker):
    """Open loop: all are sent on time, and each one's wait is counted from then."""
    talker.go_on = threading.Semaphore(0)

    def wake():
        time.sleep(1.5)
        for _ in range(10_000):
            talker.go_on.release()

    threading.Thread(target=wake, daemon=True).start()
    (one,) = run(talker, rates=(40,), seconds=1).rates
    assert one.failed == 0 and one.requests > 20
    assert one.total_ms["p50"] > 500, "half of them had been due for long when it woke"


def test_what_is_not_answered_in_time_has_failed_and_the_test_ends(talker):
    talker.go_on = threading.Semaphore(0)
    (one,) = run(talker, wait_s=0.5).rates
    assert one.failed == one.requests
    assert "no whole answer within 0.5 s" in one.problems[0]


@pytest.mark.parametrize(
    ("pieces", "cut", "problem"),
    [
        ((DELTA, b'data: {"error":{"message":"out of memory"}}\n\n'), False, "broken off: {'message': 'out of memory'}"),
        ((DELTA,), False, "broken off before its end"),
        ((DELTA,), True, "no answer: ClientPayloadError"),
        ((b"data: {nonsense\n\n",), False, "no answer: JSONDecodeError"),
    ],
)
def test_an_answer_that_is_no_whole_one_has_failed(talker, pieces, cut, problem):
    talker.pieces, talker.cut = pieces, cut
    (one,) = run(talker).rates
    assert one.failed == one.requests and one.problems[0].startswith(problem)
    assert one.missed


def test_a_closed_port_is_a_failure(talker):
    (one,) = client.run(LoadTarget("http://127.0.0.1:9", {}, "chat"), PROMPTS, 4, LoadTest(rates=(5,), seconds=0.5), EASY).rates
    assert one.failed == one.requests and "no answer: ClientConnectorError" in one.problems[0]


@pytest.mark.integration
def test_a_revision_without_traffic_is_tested_through_the_gateway(stage):
    serve = LlamaCppServe(context=4096, parallel=2)
    revision = stage.backend.start(stage.chat_bundle(), "loaded", "3", serve, {})
    stage.gateway.add_revision(revision.endpoint())
    try:
        target = LoadTarget(stage.settings.gateway_url, stage.credentials.probe_headers("demo", "3"), "loaded")
        found = client.run(target, PROMPTS, 8, LoadTest(rates=(2, 4), seconds=2), EASY, version=3)
        assert found.best_rate == 4, found
        for one in found.rates:
            assert one.failed == 0
            assert 0 < one.ttft_ms["p50"] <= one.ttft_ms["p99"] <= one.total_ms["p99"]
            assert one.tpot_ms["p50"] > 0
            assert one.tokens_per_s == pytest.approx(8 * one.answered_per_s, rel=0.01), "it never ends by itself"
    finally:
        stage.gateway.retire("loaded")
        stage.backend.stop(revision)
