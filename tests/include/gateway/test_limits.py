"""Limits by key, through the real Envoy."""

import json
import math
import threading
from dataclasses import replace

import httpx
import pytest

from include.errors import InputError
from include.gateway import openai
from include.gateway import rate_limits as limits
from include.gateway.__main__ import main
from include.gateway.credentials import Credentials
from include.gateway.gateway import Gateway
from include.gateway.observe import arm, read_entries
from include.gateway.rate_limits import Limit
from include.runtime.settings import Settings
from tests.include.gateway.talker import Talker
from tests.include.serving.stage import KEY, OTHER_KEY
from tests.waiting import until

CHAT = "/v1/chat/completions"
MANY = 1000


@pytest.fixture(scope="module")
def talker(stage):
    server = Talker()
    stage.gateway.add_revision(server.endpoint("chat", "1"))
    stage.gateway.set_split("chat", {"1": 100})
    yield server
    stage.gateway.retire("chat")
    server.close()


@pytest.fixture
def limit(stage, talker):
    """Sets limits; after the test there is none."""
    yield stage.gateway.set_limit
    for client in stage.gateway.limits():
        stage.gateway.set_limit(client, Limit())


def ask(stage, key=KEY, path=CHAT, **fields):
    body = {"model": "chat", "messages": [{"role": "user", "content": "?"}], **fields}
    return httpx.post(stage.settings.gateway_url + path, json=body, headers={"authorization": f"Bearer {key}"}, timeout=20)


@pytest.mark.integration
def test_a_keys_requests_beyond_its_limit_are_refused_in_openais_form(stage, limit):
    limit("demo", Limit(requests=3))
    statuses = [ask(stage).status_code for _ in range(3)]
    refused = ask(stage)
    assert (statuses, refused.status_code) == ([200] * 3, 429)
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
    assert "limit of requests a minute" in error["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-updraft-limit"] == "requests"
    assert ask(stage, OTHER_KEY).status_code == 200


@pytest.mark.integration
def test_tokens_are_counted_by_what_the_request_asks_for(stage, limit, talker):
    limit("demo", Limit(tokens=1000))
    first = ask(stage, max_tokens=600)
    refused = ask(stage, max_tokens=600)
    assert (first.status_code, refused.status_code) == (200, 429)
    assert refused.headers["x-updraft-limit"] == "tokens"
    bytes_sent = len(refused.request.content)
    cost = 600 + math.ceil(bytes_sent / openai.BYTES_PER_TOKEN)
    assert f"counts as {cost} tokens" in refused.json()["error"]["message"]
    # 1000 tokens a minute: what is missing of the cost comes back evenly.
    assert abs(int(refused.headers["retry-after"]) - (2 * cost - 1000) * 60 / 1000) <= 6
    assert ask(stage, max_tokens=100).status_code == 200


@pytest.mark.integration
@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, openai.UNSAID_TOKENS),
        ({"max_completion_tokens": 50, "max_tokens": 90}, 50),
        ({"max_tokens": 50, "n": 3}, 150),
        ({"max_tokens": -1}, openai.UNSAID_TOKENS),
        ({"max_tokens": "many"}, openai.UNSAID_TOKENS),
        ({"max_tokens": 10**30}, limits.MOST),
        ({"max_tokens": 7, "n": -5}, 7),
        ({"path": "/v1/completions", "prompt": ["a", "b", "c"], "max_tokens": 7, "n": 2}, 42),
        ({"path": "/v1/embeddings", "input": "x" * 40}, 0),
    ],
    ids=str,
)
def test_a_request_costs_what_it_may_use(stage, limit, fields, asked):
    limit("demo", Limit(tokens=1))
    refused = ask(stage, **fields)
    cost = asked + math.ceil(len(refused.request.content) / openai.BYTES_PER_TOKEN)
    assert refused.status_code == 429
    assert f"counts as {min(cost, limits.MOST)} tokens" in refused.json()["error"]["message"]


@pytest.mark.integration
def test_a_limit_changes_while_streams_go_on(stage, limit, talker):
    talker.go_on, talker.pieces = threading.Semaphore(0), [b'data: {"a":1}\n\n', b"data: [DONE]\n\n"]
    limit("demo", Limit(requests=1))
    with stage.client.stream(
        "POST", CHAT, json={"model": "chat", "messages": [{"role": "user", "content": "?"}], "stream": True}
    ) as answer:
        pieces = answer.iter_raw()
        received = [next(pieces)]
        assert ask(stage).status_code == 429
        limit("demo", Limit(requests=MANY))
        assert [ask(stage).status_code for _ in range(3)] == [200] * 3
        talker.go_on.release()
        received += pieces
    assert received == talker.pieces


@pytest.mark.integration
def test_everybodys_limit_is_each_keys_own_and_not_the_platforms(stage, limit, talker):
    limit("*", Limit(requests=1))
    assert [ask(stage, key).status_code for key in (KEY, OTHER_KEY, KEY, OTHER_KEY)] == [200, 200, 429, 429]
    limit("other", Limit(requests=MANY))
    assert [ask(stage, OTHER_KEY).status_code for _ in range(3)] == [200] * 3
    assert list(limits.resolved({"*": Limit(requests=1)}, {"demo": "", "updraft": ""})) == ["demo"]


@pytest.mark.integration
def test_nothing_else_is_limited(stage, limit, talker):
    limit("demo", Limit(requests=1, tokens=1))
    assert {stage.client.get("/v1/models").status_code for _ in range(4)} == {200}
    assert {stage.infer("nobody").status_code for _ in range(4)} == {404}


@pytest.mark.integration
def test_a_refusal_says_nothing_about_the_revision(stage, limit, talker):
    limit("demo", Limit(requests=1))
    cursor = stage.mark()
    assert [ask(stage).status_code for _ in range(3)] == [200, 429, 429]
    until(lambda: len(read_entries(stage.gateway.access_log, cursor)[0]) >= 3)
    seen = read_entries(stage.gateway.access_log, cursor)[0]
    assert (arm(seen, "chat", "1").requests, arm(seen, "chat", "1").errors) == (1, 0)


@pytest.mark.integration
def test_callers_cannot_ask_as_somebody_else(stage, limit, talker):
    limit("demo", Limit(requests=1))
    headers = {"x-updraft-client": "other"}
    body = {"model": "chat", "messages": [{"role": "user", "content": "?"}]}
    assert [stage.client.post(CHAT, json=body, headers=headers).status_code for _ in range(2)] == [200, 429]


def test_limits_are_kept_and_read_again(tmp_path):
    path = tmp_path / "limits.json"
    assert limits.read(path) == {}
    kept = {"demo": Limit(requests=3), "*": Limit(tokens=500)}
    limits.write(path, {**kept, "other": Limit()})
    assert limits.read(path) == kept


@pytest.mark.parametrize(
    "text", ["", "[]", '{"demo": 5}', '{"demo": {"request": 5}}', '{"demo": {"requests": 0}}', '{"a": {"tokens": true}}']
)
def test_a_spoilt_file_is_named(tmp_path, text):
    path = tmp_path / "limits.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"limits"):
        limits.read(path)


def test_a_limit_of_nobody_is_refused_with_the_known_names():
    with pytest.raises(InputError, match="'nobody'") as raised:
        limits.resolved({"nobody": Limit(requests=1)}, {"demo": "", "updraft": ""})
    assert "demo, updraft, * (all others)" in str(raised.value)


def test_keys_are_in_no_filter_of_the_limits():
    found = limits.resolved({"*": Limit(3, 4)}, {"demo": "the-key"})
    assert "the-key" not in json.dumps([limits.resource(kind, found) for kind in limits.KINDS])


def test_limits_are_set_and_told_by_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    monkeypatch.setenv("UPDRAFT_PORT_BASE", "25900")
    (tmp_path / "credentials.json").write_text(json.dumps({"api_keys": {"demo": "k"}, "probe_secret": "s"}))
    assert main(["limit", "demo", "--requests", "60", "--tokens", "9000"]) == 0
    assert capsys.readouterr().out == "demo: 60 requests and 9000 tokens a minute\n"
    assert main(["limit", "demo"]) == 0
    assert capsys.readouterr().out == "No key has a limit.\n"
    assert main(["limit", "nobody", "--tokens", "5"]) == 2
    assert "Known: demo" in capsys.readouterr().err
    assert main(["limits"]) == 0


def test_limits_outlive_the_gateway_and_may_be_written_by_hand(tmp_path):
    settings = replace(Settings.load(), home=tmp_path, port_base=25900)
    credentials = Credentials({"demo": KEY, "updraft": OTHER_KEY}, "secret")
    Gateway(settings, credentials).set_limit("demo", Limit(requests=7))
    Gateway(settings, credentials).prepare()
    assert buckets(settings, "requests") == {"demo": 7}
    settings.limits.write_text('{"*": {"tokens": 900}}')
    Gateway(settings, credentials).prepare()
    assert (buckets(settings, "requests"), buckets(settings, "tokens")) == ({}, {"demo": 900})
    settings.limits.write_text('{"gone": {"tokens": 900}}')
    with pytest.raises(InputError, match="'gone'"):
        Gateway(settings, credentials).prepare()


def buckets(settings, kind):
    """Tokens of each client's bucket, as Envoy reads them."""
    [resource] = json.loads((settings.envoy / "xds" / f"{kind}.json").read_text())["resources"]
    found = resource["typed_config"]["descriptors"]
    return {one["entries"][0]["value"]: one["token_bucket"]["max_tokens"] for one in found}
