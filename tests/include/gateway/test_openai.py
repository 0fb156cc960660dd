"""OpenAI's API through the real Envoy."""

import json
import threading
from collections import Counter
from dataclasses import replace

import httpx
import pytest

from include.gateway.listener import MAX_BODY_BYTES
from include.gateway.observe import arm, read_entries
from tests.include.gateway.talker import Talker
from tests.include.serving.stage import KEY, SECRET
from tests.waiting import until

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
ASKED = {"messages": [{"role": "user", "content": "?"}]}
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"\\"completion_tokens\\":99,"},"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def talkers(stage):
    servers = {revision: Talker() for revision in ("1", "2")}
    for revision, server in servers.items():
        stage.gateway.add_revision(server.endpoint("chat", revision))
    yield servers
    stage.gateway.retire("chat")
    for server in servers.values():
        server.close()


@pytest.fixture
def chat(stage, talkers):
    """The model `chat`, everything on revision 1."""
    for server in talkers.values():
        server.cut, server.pieces, server.go_on = False, (), threading.Semaphore(0)
        server.asked.clear()
    stage.gateway.set_split("chat", {"1": 100})
    return talkers


def ask(stage, body=None, headers=None, path=CHAT, **fields):
    body = {"model": "chat", **ASKED, "prompt": "?", "input": "?", **fields} if body is None else body
    return stage.client.post(path, json=body, headers=headers or {})


def revision(answer):
    return answer.headers["x-updraft-revision"]


def error(answer):
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return answer.json()["error"]


def entries(stage, cursor, count):
    """The next ``count`` lines of the access log."""
    until(lambda: len(read_entries(stage.gateway.access_log, cursor)[0]) >= count)
    return read_entries(stage.gateway.access_log, cursor)[0]


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
def test_the_model_named_in_the_body_answers(stage, chat, path):
    answer = ask(stage, path=path)
    assert (answer.status_code, revision(answer)) == (200, "1")
    assert chat["1"].asked[-1]["path"] == path
    assert KEY not in json.dumps(chat["1"].asked[-1]["headers"])


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/plain", None])
def test_the_body_is_read_whatever_it_is_called(stage, chat, kind):
    headers = {"content-type": kind} if kind else {}
    answer = stage.client.post(CHAT + "?a=b", content=json.dumps({"model": "chat", **ASKED}).encode(), headers=headers)
    assert answer.status_code == 200


def test_a_long_body_is_read_whole(stage, chat):
    text = "x" * 3_000_000
    assert ask(stage, messages=[{"role": "user", "content": text}]).status_code == 200
    assert chat["1"].asked[-1]["body"]["messages"][0]["content"] == text


@pytest.mark.parametrize("model", ["nobody", "duo", "Chat", "chat\r\nx-updraft-probe: x", 'a"b', "x" * 4000, "é"])
def test_an_unknown_model_is_named_in_the_refusal(stage, duo, chat, model):
    answer = ask(stage, model=model)
    assert answer.status_code == 404
    assert (error(answer)["code"], error(answer)["param"]) == ("model_not_found", "model")
    assert f"`{model}`" in error(answer)["message"]


DEEP = b'{"model": "chat", "x": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[1]", b"no JSON", b'{"model": null}', b'{"model": {"a": 1}}', b'{"model": ""}', DEEP],
    ids=lambda body: body[:20].decode(),
)
def test_a_body_without_a_model_is_refused(stage, chat, body):
    answer = stage.client.post(CHAT, content=body)
    assert answer.status_code == 400
    assert "names a model" in error(answer)["message"]


def test_callers_cannot_choose_by_header(stage, chat):
    headers = {"x-updraft-model": "chat", "x-updraft-revision": "2", "x-updraft-mirror": "1"}
    assert ask(stage, model="nobody", headers=headers).status_code == 404
    assert revision(ask(stage, headers=headers)) == "1"


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/elsewhere"])
def test_without_a_key_nothing_is_told(stage, chat, path):
    answer = httpx.post(stage.settings.gateway_url + path, json={"model": "chat"}, headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert error(answer)["code"] == "invalid_api_key"


def test_a_key_opens_as_openais_clients_send_it(stage, chat):
    answer = httpx.post(stage.settings.gateway_url + CHAT, json={"model": "chat", **ASKED}, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200


def test_an_over_long_body_is_refused_with_the_limit(stage, chat):
    answer = stage.client.post(CHAT, content=b"x" * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert str(MAX_BODY_BYTES) in error(answer)["message"]


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/v1/", "/v1", "/v1/chat/completions/render", "/v1/models/nobody"])
def test_no_other_path_reaches_a_server(stage, chat, path):
    assert error(stage.client.get(path))["type"] == "invalid_request_error"
    assert ask(stage, path=path).status_code == 404
    assert chat["1"].asked == []


@pytest.mark.parametrize("path", ["/metrics", "/tokenize", "/invocations"])
def test_a_servers_own_paths_are_closed(stage, chat, path):
    assert ask(stage, path=path).status_code == 404
    assert chat["1"].asked == []


def test_live_models_are_listed(stage, duo, chat, talkers):
    stage.gateway.add_revision(talkers["1"].endpoint("newborn", "1"))
    listed = stage.client.get("/v1/models").json()
    absent = ask(stage, model="newborn")
    stage.gateway.retire("newborn")
    assert listed["object"] == "list"
    named = {model["id"]: model for model in listed["data"]}
    assert "newborn" not in named
    assert stage.client.get("/v1/models/chat").json() == named["chat"]
    assert absent.status_code == 503
    assert "newborn has no live revision yet" in error(absent)["message"]


def test_requests_without_a_session_follow_the_weights(stage, chat):
    stage.gateway.set_split("chat", {"1": 75, "2": 25})
    shares = Counter(revision(ask(stage)) for _ in range(200))
    # 200 draws at 25 %: 20 to 85 holds but once in a million.
    assert 20 <= shares["2"] <= 85


@pytest.mark.parametrize("given", [{"headers": {"x-session-id": "s-{}"}}, {"user": "user {}\n"}])
def test_a_session_stays_with_one_revision_and_with_the_canary_as_it_grows(stage, chat, given):
    def who(number):
        named = json.loads(json.dumps(given).replace("{}", str(number)))
        return revision(ask(stage, **named))

    canary = []
    for weight in (20, 50, 80):
        stage.gateway.set_split("chat", {"1": 100 - weight, "2": weight})
        seen = {number: {who(number) for _ in range(3)} for number in range(40)}
        assert all(len(revisions) == 1 for revisions in seen.values())
        canary.append({number for number, revisions in seen.items() if revisions == {"2"}})
    assert canary[0] < canary[1] < canary[2]


def test_the_header_names_the_session_before_the_body_does(stage, chat):
    stage.gateway.set_split("chat", {"1": 50, "2": 50})
    answers = {revision(ask(stage, user=f"u{number}", headers={"x-session-id": "one"})) for number in range(12)}
    assert len(answers) == 1


def test_batch_inference_reaches_the_revision_it_names_and_is_nobodys_observation(stage, chat):
    headers = stage.credentials.batch_headers("demo", "2")
    cursor = stage.mark()
    assert revision(ask(stage, headers=headers)) == "2"
    assert revision(ask(stage, headers=headers | {"x-updraft-batch": "guess"})) == "1", "as everybody without the secret"
    assert "x-updraft-batch" not in {name.lower() for name in chat["2"].asked[-1]["headers"]}
    first, second = entries(stage, cursor, 2)
    assert (first.kind, first.client, first.completion_tokens, second.kind) == ("batch", "demo", 5, "live")
    assert arm([first], "chat", "2").requests == 0


def test_a_probe_reaches_a_revision_without_traffic(stage, chat):
    assert revision(ask(stage, headers=stage.credentials.probe_headers("demo", "2"))) == "2"
    assert "x-updraft-probe" not in {name.lower() for name in chat["2"].asked[-1]["headers"]}
    assert SECRET not in stage.gateway.access_log.read_text()


def test_a_mirrored_revision_gets_copies_and_answers_nobody(stage, chat):
    stage.gateway.set_split("chat", {"1": 100}, mirror="2")
    cursor = stage.mark()
    assert {revision(ask(stage)) for _ in range(10)} == {"1"}
    seen = entries(stage, cursor, 20)
    assert arm(seen, "chat", "2", "mirror").requests == 10
    assert {entry.completion_tokens for entry in seen} == {5}


def test_an_answers_tokens_are_logged(stage, chat):
    cursor = stage.mark()
    ask(stage)
    [entry] = entries(stage, cursor, 1)
    assert (entry.model, entry.client, entry.status) == ("chat", "demo", 200)
    assert (entry.prompt_tokens, entry.completion_tokens, entry.finish_reason) == (12, 5, "length")
    assert 0 < entry.first_byte_us <= entry.upstream_us


def test_the_tokens_of_a_server_that_would_compress_its_answers_are_logged(stage, chat):
    chat["1"].packs = True
    cursor = stage.mark()
    answer = stage.client.post(CHAT, json={"model": "chat", **ASKED}, headers={"accept-encoding": "gzip"})
    assert answer.json()["usage"]["prompt_tokens"] == 12
    [entry] = entries(stage, cursor, 1)
    assert (entry.prompt_tokens, entry.completion_tokens, entry.finish_reason) == (12, 5, "length")


@pytest.mark.parametrize(
    "pieces",
    [
        [DELTA, LAST, b'data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":5}}\n\n', DONE],
        [DELTA, LAST + b'data: {"choices":[],"usage":{"prompt_tokens":1', b'2,"completion_tok', b'ens" : 5}}\n\n' + DONE],
        [DELTA, LAST.replace(b"}\n\n", b',"timings":{"cache_n":10,"prompt_n":2,"predicted_n":5}}\n\n'), DONE],
    ],
    ids=["usage", "usage in pieces", "timings of llama.cpp"],
)
def test_a_stream_passes_piece_by_piece_and_its_tokens_are_logged(stage, chat, pieces):
    chat["1"].pieces = pieces
    cursor = stage.mark()
    with stage.client.stream("POST", CHAT, json={"model": "chat", "stream": True, **ASKED}) as answer:
        received = []
        for piece in answer.iter_raw():
            received.append(piece)
            chat["1"].go_on.release()
    # The server sends each piece after the one before has arrived here.
    assert received == pieces
    [entry] = entries(stage, cursor, 1)
    assert (entry.prompt_tokens, entry.completion_tokens, entry.finish_reason) == (12, 5, "stop")


def test_a_server_that_dies_in_its_answer_is_at_fault(stage, chat):
    chat["1"].pieces, chat["1"].cut = [DELTA], True
    cursor = stage.mark()
    with (
        pytest.raises(httpx.RemoteProtocolError),
        stage.client.stream("POST", CHAT, json={"model": "chat", "stream": True, **ASKED}) as answer,
    ):
        answer.read()
    [entry] = entries(stage, cursor, 1)
    assert entry.error
    assert ask(stage).status_code == 200


def test_a_server_that_takes_too_long_is_at_fault(stage, chat):
    stage.gateway.add_revision(replace(chat["2"].endpoint("hasty", "1"), timeout_s=0.5))
    stage.gateway.set_split("hasty", {"1": 100})
    cursor = stage.mark()
    answer = ask(stage, model="hasty", wait=True)
    [entry] = entries(stage, cursor, 1)
    chat["2"].go_on.release()
    stage.gateway.retire("hasty")
    assert answer.status_code == 504
    assert error(answer)["code"] == "timeout"
    assert entry.error


def test_a_caller_that_hangs_up_in_the_answer_is_at_fault_itself(stage, chat):
    chat["1"].pieces = [DELTA, LAST]
    cursor = stage.mark()
    url, body = stage.settings.gateway_url + CHAT, {"model": "chat", "stream": True, **ASKED}
    with httpx.stream("POST", url, json=body, headers={"x-api-key": KEY}) as answer:
        next(answer.iter_raw())
    [entry] = entries(stage, cursor, 1)
    chat["1"].go_on.release()
    assert not entry.error
    assert entry.callers_fault


def test_a_dead_revisions_requests_go_to_the_other(stage, chat):
    third = Talker()
    stage.gateway.add_revision(third.endpoint("chat", "3"))
    stage.gateway.set_split("chat", {"1": 50, "3": 50})
    stage.gateway.admin.wait(lambda: stage.gateway.admin.healthy("chat-3"), 5, "revision 3 is healthy")
    third.close()
    assert {ask(stage).status_code for _ in range(40)} == {200}
    stage.gateway.set_split("chat", {"1": 100})
    stage.gateway.remove_revision("chat", "3")
