"""Requests of OpenAI's API that are no good, through the real Envoy: refused alike for every server, in OpenAI's form, with what helps."""

import json
import socket
from dataclasses import replace

import pytest

from include.gateway.observe import read_entries
from tests.include.gateway.talker import Talker
from tests.include.serving.stage import KEY
from tests.waiting import until

pytestmark = pytest.mark.integration
CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.fixture(scope="module")
def talker(stage):
    """The model `plain`, which offers nothing beyond the plain case, and `able`, which offers all; `odd` refuses in a form of its own."""
    server = Talker()
    offers = {"plain": (), "able": ("tools", "choices", "echo", "logprobs", "suffix", "best_of", "embeddings", "developer")}
    for model, offered in offers.items():
        stage.gateway.add_revision(replace(server.endpoint(model, "1"), offers=offered))
        stage.gateway.set_split(model, {"1": 100})
    yield server
    for model in offers:
        stage.gateway.retire(model)
    server.close()


def message(**fields):
    return {"messages": [{"role": "user", "content": "Hello"} | fields]}


def part(**fields):
    return message(content=[{"type": "text", "text": "Hello"}, fields])


def refusal(answer, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({}, "messages", "is missing: send"),
        ({"messages": None}, "messages", "is missing"),
        ({"messages": "Hello"}, "messages", "must be a list"),
        ({"messages": []}, "messages", "is empty: send at least one message"),
        ({"messages": ["Hello"]}, "messages[0]", 'must be {"role"'),
        ({"messages": [{"content": "Hello"}]}, "messages[0].role", "is missing"),
        (message(role=5), "messages[0].role", "is missing"),
        (message(role="wizard"), "messages[0].role", "is wizard, which is no role: use system, user or assistant."),
        (message(content=None), "messages[0].content", "is missing or null: send a text."),
        ({"messages": [*HELLO, {"role": "assistant", "content": None}]}, "messages[1].content", "is missing or null"),
        (message(content=3), "messages[0].content", "must be a text, or a list of parts"),
        (message(content=[]), "messages[0].content", "holds no part"),
        (part(text="Hello"), "messages[0].content[1]", "must be"),
        (
            part(type="image_url", image_url={"url": "data:,"}),
            "messages[0].content[1].type",
            "is image_url, and this model reads texts only",
        ),
        (part(type="input_audio", input_audio={}), "messages[0].content[1].type", "texts only"),
        (part(type="text", text=None), "messages[0].content[1].text", "must be a text"),
        ({"messages": HELLO, "max_tokens": 0}, "max_tokens", "must be a whole number from 1"),
        ({"messages": HELLO, "max_tokens": "many"}, "max_tokens", "must be a whole number"),
        ({"messages": HELLO, "n": 0}, "n", "must be a whole number from 1 to 128."),
        ({"messages": HELLO, "temperature": "hot"}, "temperature", "must be a number from 0 to 2."),
        ({"messages": HELLO, "stream": "yes"}, "stream", "must be true or false."),
        ({"messages": HELLO, "stop": 3}, "stop", "must be a text or a list of texts."),
        ({"messages": HELLO, "top_logprobs": 2}, "top_logprobs", "needs logprobs: true."),
        ({"messages": HELLO, "tools": 5}, "tools", "must be a list."),
        ({"messages": HELLO, "max_new_tokens": 5}, "max_new_tokens", "is no field of this API: send max_tokens."),
        ({"messages": HELLO, "stop_sequences": ["a"]}, "stop_sequences", "send stop."),
        ({"messages": HELLO, "frequency_penalty": "0.5"}, "frequency_penalty", "must be a number from -2 to 2."),
        ({"messages": HELLO, "top_k": 1.5}, "top_k", "must be a whole number"),
        ({"messages": HELLO, "seed": "7"}, "seed", "must be a whole number"),
        ({"messages": HELLO, "min_p": 2}, "min_p", "must be a number from 0 to 1."),
    ],
    ids=str,
)
def test_a_chat_that_is_no_good_is_refused_with_its_place(stage, talker, fields, param, said):
    error = refusal(stage.client.post(CHAT, json={"model": "able"} | fields))
    assert error["param"] == param and error["message"].startswith(param) and said in error["message"]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (COMPLETIONS, {}, "prompt"),
        (COMPLETIONS, {"prompt": ""}, "prompt"),
        (COMPLETIONS, {"prompt": []}, "prompt"),
        (COMPLETIONS, {"prompt": ["a", 1]}, "prompt"),
        (COMPLETIONS, {"prompt": [-5]}, "prompt"),
        (COMPLETIONS, {"prompt": "a", "echo": "yes"}, "echo"),
        (COMPLETIONS, {"prompt": "a", "logprobs": True}, "logprobs"),
        (EMBEDDINGS, {}, "input"),
        (EMBEDDINGS, {"input": ["a", ""]}, "input"),
    ],
    ids=str,
)
def test_a_completion_and_an_embedding_too(stage, talker, path, fields, param):
    assert refusal(stage.client.post(path, json={"model": "able"} | fields))["param"] == param


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a\xff", "it is not UTF-8"),
        (b"caf\xe9", "it is not UTF-8"),
        (b"a\xed\xa0\xbd", "it is not UTF-8"),
        (b"\xc3a\xa9", "it is not UTF-8"),
        (b"a\\ud83d", "half a character (a lone surrogate)"),
        (b"a\\udc00b", "half a character"),
        (b"a\nb", "a line break or another control character"),
        (b"\\x41", "an unknown escape"),
        (b'a"]', "a comma or a bracket is missing"),
        (b"a\\u0000b", "a NUL character"),
        (b'a", "content": "b', "the key content stands twice"),
        (b'a"}], "n": 1, "n": 2, "stop": ["', "the key n stands twice"),
        (b'a"}], "\\u006e": 2, "stop": [{"a": "', "a key is written with escapes"),
    ],
    ids=repr,
)
def test_bytes_that_are_no_text_are_told_as_such(stage, talker, text, said):
    body = b'{"model": "plain", "messages": [{"role": "user", "content": "' + text + b'"}]}'
    error = refusal(stage.client.post(CHAT, content=body))
    assert "The body is no JSON object that names a model" in error["message"] and said in error["message"]


@pytest.mark.parametrize(
    "content",
    ["", "日本語 🙂 naïve", "\U0001f600\ud7ff\ue000", 'quotes " and \\ and \n', [{"type": "text", "text": "a"}], "x" * 100_000],
    ids=repr,
)
def test_good_texts_pass_as_they_are(stage, talker, content):
    for ascii_only in (True, False):
        body = json.dumps(
            {"model": "plain", "n": 1, "temperature": 1.5e0, "stop": None} | message(content=content), ensure_ascii=ascii_only
        )
        assert stage.client.post(CHAT, content=body.encode()).status_code == 200
        assert talker.asked[-1]["body"]["messages"][0]["content"] == content


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        (CHAT, {"messages": HELLO, "tools": TOOLS}, "plain knows no tools"),
        (CHAT, {"messages": HELLO, "functions": [{"name": "f"}]}, "plain knows no tools"),
        (CHAT, {"messages": [*HELLO, {"role": "tool", "content": "1", "tool_call_id": "a"}]}, "plain knows no tools"),
        (CHAT, {"messages": [*HELLO, {"role": "assistant", "content": None, "tool_calls": [{}]}]}, "plain knows no tools"),
        (CHAT, {"messages": [{"role": "developer", "content": "a"}, *HELLO]}, "write the role system"),
        (CHAT, {"messages": HELLO, "n": 2}, "stream the answer (stream: true), or ask for each by itself"),
        (COMPLETIONS, {"prompt": ["a", "b"]}, "the tokens of one choice only"),
        (COMPLETIONS, {"prompt": [[1], [2]]}, "the tokens of one choice only"),
        (COMPLETIONS, {"prompt": "a", "echo": True}, "leave out `echo`"),
        (COMPLETIONS, {"prompt": "a", "logprobs": 0}, "/v1/chat/completions with logprobs: true"),
        (COMPLETIONS, {"prompt": "a", "suffix": "b"}, "leave out `suffix`"),
        (COMPLETIONS, {"prompt": "a", "best_of": 2}, "`best_of`"),
        (EMBEDDINGS, {"input": "a"}, "plain makes no embeddings"),
    ],
    ids=str,
)
def test_what_a_model_or_its_server_can_not_do_is_refused_and_of_one_that_can_is_asked(stage, talker, path, fields, said):
    talker.asked.clear()
    assert said in refusal(stage.client.post(path, json={"model": "plain"} | fields))["message"]
    assert talker.asked == []
    assert stage.client.post(path, json={"model": "able"} | fields).status_code == 200
    assert "x-updraft-needs" not in {name.lower() for name in talker.asked[-1]["headers"]}


@pytest.mark.parametrize(
    "fields",
    [{"tools": []}, {"tools": TOOLS, "tool_choice": "none"}, {"n": 2, "stream": True}, {"tools": None, "n": None, "stop": ["a"]}],
    ids=str,
)
def test_what_asks_for_nothing_special_is_no_reason_to_refuse(stage, talker, fields):
    talker.pieces = []
    assert stage.client.post(CHAT, json={"model": "plain", "messages": HELLO} | fields).status_code == 200


def test_a_key_of_a_tool_may_be_written_with_escapes(stage, talker):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"größe": {"type": "number"}}}}}
    body = json.dumps({"model": "able", "messages": HELLO, "tools": [tool]})
    assert "\\u00f6" in body and stage.client.post(CHAT, content=body).status_code == 200


def timings(index, prompt, made):
    choice = {"index": index, "delta": {}, "finish_reason": "stop"}
    return (
        b"data: "
        + json.dumps({"choices": [choice], "timings": {"cache_n": 1, "prompt_n": prompt - 1, "predicted_n": made}}).encode()
        + b"\n\n"
    )


@pytest.mark.parametrize(
    ("path", "fields", "pieces", "expected"),
    [
        (CHAT, {"messages": HELLO, "n": 3}, [timings(1, 7, 4), timings(0, 7, 5), timings(2, 7, 6)], (7, 15)),
        (COMPLETIONS, {"prompt": ["a", "b"], "n": 2}, [timings(n, 3 + n // 2, 10 + n) for n in (2, 0, 3, 1)], (3 + 4, 46)),
    ],
    ids=["choices", "prompts"],
)
def test_every_choice_of_a_stream_is_metered(stage, talker, path, fields, pieces, expected):
    talker.pieces = [b"".join(pieces)[:100], b"".join(pieces)[100:], b"data: [DONE]\n\n"]
    cursor = stage.mark()
    for _ in talker.pieces:
        talker.go_on.release()
    assert stage.client.post(path, json={"model": "plain", "stream": True} | fields).status_code == 200
    until(lambda: read_entries(stage.gateway.access_log, cursor)[0])
    [entry] = read_entries(stage.gateway.access_log, cursor)[0]
    assert (entry.prompt_tokens, entry.completion_tokens) == expected


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (400, {"error": {"code": 400, "message": 'no "x"', "type": "invalid_request_error"}}, (400, 'no "x"', None)),
        (400, {"error": {"message": "no", "type": "BadRequestError", "param": "n", "code": 400}}, (400, "no", None)),
        (
            400,
            {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error"}},
            (400, "too long", "context_length_exceeded"),
        ),
        (
            500,
            {"error": {"code": 500, "message": "Failed to parse messages: x", "type": "server_error"}},
            (400, "Failed to parse messages: x", None),
        ),
    ],
    ids=str,
)
def test_a_servers_own_refusal_is_told_in_openais_form(stage, talker, status, said, expected):
    talker.refuses = (status, said)
    answer = stage.client.post(CHAT, json={"model": "plain", "messages": HELLO})
    talker.refuses = None
    error = refusal(answer, expected[0])
    assert (error["message"], error["code"]) == expected[1:]


def test_a_proxy_that_speaks_http_1_0_is_answered(stage, talker):
    body = json.dumps({"model": "plain", "messages": HELLO}).encode()
    head = f"POST {CHAT} HTTP/1.0\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((stage.settings.host, stage.settings.gateway_port), timeout=10) as door:
        door.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: door.recv(65536), b""))
    assert b" 200 OK" in answer.splitlines()[0] and b'"choices"' in answer


@pytest.mark.parametrize("path", ["/", "/v1/nowhere", "/v2/nowhere", "/openai/v1/chat/completions"])
def test_a_path_that_is_none_names_those_of_both_protocols(stage, path):
    said = stage.client.get(path).json()["error"]
    text = said if isinstance(said, str) else said["message"]
    assert "/v1/chat/completions" in text and "/v2/models/<name>" in text
