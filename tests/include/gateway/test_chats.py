"""A real llama.cpp behind the real Envoy."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from include.backends.llamacpp.spec import LlamaCppServe
from include.gateway.metering import Meter
from include.gateway.observe import arm, read_entries
from tests.include.serving.stage import KEY
from tests.waiting import until

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello"}]
SERVE = LlamaCppServe(context=256, parallel=4, threads=1, drain_s=2)


@pytest.fixture(scope="module")
def revision(stage):
    revision = stage.backend.start(stage.chat_bundle(), "gossip", "1", SERVE)
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("gossip", {"1": 100})
    yield revision
    stage.gateway.retire("gossip")
    stage.backend.stop(revision)


def ask(stage, path=CHAT, **fields):
    return stage.client.post(path, json={"model": "gossip", "messages": MESSAGES, "max_tokens": 4} | fields)


def entries(stage, cursor, count):
    until(lambda: len(read_entries(stage.gateway.access_log, cursor)[0]) >= count)
    return read_entries(stage.gateway.access_log, cursor)[0]


def events(text):
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]


def test_the_logs_tokens_are_those_of_the_answer(stage, revision):
    cursor = stage.mark()
    usage = ask(stage).json()["usage"]
    [entry] = entries(stage, cursor, 1)
    assert (entry.prompt_tokens, entry.completion_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert entry.finish_reason == "length"


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
def test_a_streams_tokens_are_logged_whether_the_caller_asks_for_them_or_not(stage, revision, options):
    expected = ask(stage).json()["usage"]["prompt_tokens"]
    cursor = stage.mark()
    answer = ask(stage, stream=True, **options)
    [entry] = entries(stage, cursor, 1)
    assert any("usage" in event for event in events(answer.text)) == bool(options)
    assert (entry.prompt_tokens, entry.completion_tokens, entry.finish_reason) == (expected, 4, "length")


def test_a_streams_first_byte_is_the_latency_that_counts(stage, revision):
    cursor = stage.mark()
    for _ in range(5):
        ask(stage, stream=True, max_tokens=200, ignore_eos=True)
    # Where others want the same cores, a single one may be held up.
    assert min(entry.latency_us / entry.upstream_us for entry in entries(stage, cursor, 5)) < 0.5


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": "Hello"},
        {"messages": [{"content": "Hello"}]},
        {"messages": [{"role": 5, "content": "Hello"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        {"messages": [{"role": "user", "content": "x" * 300}]},
        {"tools": 5},
        {"temperature": "hot"},
        {"grammar": "((("},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_a_callers_mistake_is_told_and_not_the_models_error(stage, revision, fields):
    cursor = stage.mark()
    answer = ask(stage, **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert arm(entries(stage, cursor, 1), "gossip", "1").requests == 0


def test_what_the_server_does_not_offer_is_not_its_error(stage, revision):
    cursor = stage.mark()
    refused = ask(stage, path="/v1/embeddings", input="Hello")
    assert refused.status_code == 400 and "gossip makes no embeddings" in refused.json()["error"]["message"]
    assert arm(entries(stage, cursor, 1), "gossip", "1").requests == 0


def test_a_hundred_streams_at_once_all_end_well(stage, revision):
    def one(number):
        return httpx.post(
            stage.settings.gateway_url + CHAT,
            json={"model": "gossip", "messages": MESSAGES, "max_tokens": 8, "ignore_eos": True, "stream": True},
            headers={"x-api-key": KEY},
            timeout=60,
        )

    cursor = stage.mark()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(one, range(100)))
    assert {(answer.status_code, answer.text.endswith("data: [DONE]\n\n")) for answer in answers} == {(200, True)}
    seen = entries(stage, cursor, 100)
    assert (arm(seen, "gossip", "1").requests, arm(seen, "gossip", "1").errors) == (100, 0)
    assert {entry.completion_tokens for entry in seen} == {8}


def test_the_meter_counts_what_the_answers_said(stage, revision, tmp_path):
    meter = Meter(stage.gateway.access_log, tmp_path / "usage.json")

    def counted():
        return [(row.requests, row.completion_tokens) for row in meter.update() if row.model == "gossip"] or [(0, 0)]

    [(requests, tokens)] = counted()
    ask(stage)
    ask(stage, stream=True, max_tokens=7, ignore_eos=True)
    until(lambda: counted() == [(requests + 2, tokens + 11)])


def test_killed_in_its_answer_it_is_at_fault_and_the_next_caller_is_answered(stage, revision):
    cursor = stage.mark()
    process = stage.supervisor.info(revision.program)[1]
    body = {"model": "gossip", "messages": MESSAGES, "max_tokens": 200, "ignore_eos": True, "stream": True}
    os.kill(process, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stage.client.post, CHAT, json=body)
        until(lambda: stage.gateway.admin.active_requests("gossip-1"))
        os.kill(process, signal.SIGKILL)
        broken = waiting.result()
    assert broken.status_code == 503
    assert broken.json()["error"]["type"] == "server_error"
    assert entries(stage, cursor, 1)[0].error
    assert ask(stage).status_code == 200
