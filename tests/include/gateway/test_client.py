"""OpenAI's own Python client against the real gateway and a real llama.cpp."""

import os
import signal

import openai
import pytest
from openai import OpenAI

from include.backends.llamacpp.spec import LlamaCppServe
from include.gateway.observe import read_entries
from include.gateway.rate_limits import Limit
from tests.include.serving.stage import KEY
from tests.waiting import until

pytestmark = pytest.mark.integration

MESSAGES = [{"role": "user", "content": "Hello"}]
LONG = 16_000
"""Tokens of an answer that is not over while a test does something to it."""
SERVE = LlamaCppServe(context=LONG + 384, parallel=2, threads=1, drain_s=2)
ON_AND_ON = {"model": "parrot", "messages": MESSAGES, "max_tokens": LONG, "extra_body": {"ignore_eos": True}, "stream": True}


@pytest.fixture(scope="module")
def revision(stage):
    revision = stage.backend.start(stage.chat_bundle(), "parrot", "1", SERVE)
    stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("parrot", {"1": 100})
    yield revision
    stage.gateway.retire("parrot")
    stage.backend.stop(revision)


@pytest.fixture(scope="module")
def client(stage, revision):
    with OpenAI(base_url=f"{stage.settings.gateway_url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


def ask(client, **fields):
    return client.chat.completions.create(**{"model": "parrot", "messages": MESSAGES, "max_tokens": 4} | fields)


def test_a_chat_is_answered(client):
    answer = ask(client, extra_body={"ignore_eos": True})
    [choice] = answer.choices
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    assert (answer.model, answer.usage.completion_tokens) == ("parrot", 4)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 4


def test_a_stream_comes_in_pieces_and_says_the_same(client):
    fields = {"temperature": 0, "max_tokens": 12, "extra_body": {"ignore_eos": True}}
    whole = ask(client, **fields).choices[0].message.content
    pieces = list(ask(client, stream=True, stream_options={"include_usage": True}, **fields))
    texts = [piece.choices[0].delta.content for piece in pieces if piece.choices and piece.choices[0].delta.content]
    assert "".join(texts) == whole
    assert len(texts) > 1
    assert pieces[-1].usage.completion_tokens == 12


def test_several_choices_come_as_streams_and_each_is_metered(stage, client):
    cursor = stage.mark()
    pieces = list(ask(client, n=2, stream=True, temperature=1, extra_body={"ignore_eos": True}))
    assert {choice.index for piece in pieces for choice in piece.choices} == {0, 1}
    until(lambda: any(entry.completion_tokens for entry in read_entries(stage.gateway.access_log, cursor)[0]))
    [entry] = [entry for entry in read_entries(stage.gateway.access_log, cursor)[0] if entry.completion_tokens]
    assert entry.completion_tokens == 2 * 4


def test_several_choices_at_once_are_refused_with_the_way_to_them(client):
    """llama.cpp tells the tokens of one of them only."""
    with pytest.raises(openai.BadRequestError, match="stream the answer"):
        ask(client, n=2)


def test_a_text_is_completed(client):
    answer = client.completions.create(model="parrot", prompt="Once upon", max_tokens=3, extra_body={"ignore_eos": True})
    assert answer.object == "text_completion"
    assert answer.usage.completion_tokens == 3


def test_embeddings_are_refused_as_not_offered(client):
    with pytest.raises(openai.APIStatusError) as raised:
        client.embeddings.create(model="parrot", input="Hello")
    assert raised.value.status_code == 400 and "makes no embeddings" in str(raised.value)
    assert "embeddings" in raised.value.message


def test_models_are_listed_and_looked_up(client):
    assert "parrot" in [model.id for model in client.models.list()]
    assert client.models.retrieve("parrot").id == "parrot"
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("nobody")
    assert raised.value.code == "model_not_found"


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as raised:
        ask(client, model="nobody")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    assert "`nobody`" in raised.value.message


def test_a_wrong_key_is_refused(client):
    with pytest.raises(openai.AuthenticationError) as raised:
        ask(client.with_options(api_key="wrong"))
    assert raised.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    "fields",
    [{"messages": "Hello"}, {"temperature": "hot"}, {"extra_body": {"grammar": "((("}}],
    ids=["no messages", "no number", "no grammar"],
)
def test_a_callers_mistake_is_told_in_the_servers_words(client, fields):
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, **fields)
    assert raised.value.message
    assert isinstance(raised.value.body, dict)


def test_a_prompt_beyond_the_context_says_so(client):
    with pytest.raises(openai.BadRequestError, match="context"):
        ask(client, messages=[{"role": "user", "content": "x" * (LONG + 500)}])


def test_a_client_that_waits_as_long_as_it_is_told_gets_its_answer(stage, client):
    stage.gateway.set_limit("demo", Limit(tokens=3000))
    try:
        with pytest.raises(openai.BadRequestError):
            ask(client, max_tokens=2900, temperature="what it asks for counts all the same")
        with pytest.raises(openai.RateLimitError) as raised:
            ask(client, max_tokens=200)
        assert raised.value.code == "rate_limit_exceeded"
        assert 1 <= int(raised.value.response.headers["retry-after"]) <= 5
        assert ask(client.with_options(max_retries=2), max_tokens=200).choices
    finally:
        stage.gateway.set_limit("demo", Limit())


def test_a_client_that_hangs_up_stops_the_answer(stage, client):
    with client.chat.completions.create(**ON_AND_ON) as stream:
        next(iter(stream))
    until(lambda: stage.gateway.admin.active_requests("parrot-1") == 0)
    # Both of its places are free again.
    streams = [client.chat.completions.create(**ON_AND_ON | {"max_tokens": 8}) for _ in range(2)]
    assert [list(stream)[-1].choices[0].finish_reason for stream in streams] == ["length", "length"]


def test_a_stream_whose_server_is_killed_ends_with_an_error_and_the_next_request_is_answered(stage, client, revision):
    process = stage.supervisor.info(revision.program)[1]
    received = []

    def read():
        for piece in client.chat.completions.create(**ON_AND_ON):
            received.append(piece)
            if len(received) == 2:
                os.kill(process, signal.SIGKILL)

    with pytest.raises(openai.APIConnectionError):
        read()
    assert len(received) >= 2
    assert received[-1].choices[0].finish_reason is None
    assert ask(client).choices
