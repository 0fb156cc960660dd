"""vLLM's command line, and how streams are made to tell their tokens: nothing is started here."""

import asyncio
import json

import pytest

from include.backends.vllm import server as vllm_server
from include.backends.vllm.server import OneAdapter, TellTokens, arguments, asking, environment, refusal

OPTIONS = {"model": "/m", "alias": "chat", "host": "127.0.0.1", "port": 1, "context": 64, "parallel": 2}


def test_arguments_of_every_kind_reach_the_command_line() -> None:
    given = {
        "enable-prefix-caching": False,
        "tensor-parallel-size": 2,
        "speculative-config": {"method": "ngram"},
        "lora-target-modules": ["a", "b"],
    }
    line = arguments(OPTIONS | {"arguments": given, "drain_s": 5})
    assert " ".join(line).startswith("--model /m --served-model-name chat --host 127.0.0.1 --port 1 --max-model-len 64 --max-num-seqs 2")
    assert line[line.index("--shutdown-timeout") + 1] == "5"
    speculative = ["--speculative-config", '{"method": "ngram"}']
    assert line[-8:] == ["--no-enable-prefix-caching", "--tensor-parallel-size", "2", *speculative, "--lora-target-modules", "a", "b"]


def test_the_specs_arguments_come_before_our_own_choices() -> None:
    line = arguments(OPTIONS | {"arguments": {"enforce-eager": False}})
    assert "--no-enforce-eager" in line and "--enforce-eager" not in line
    assert environment(OPTIONS)["TORCHDYNAMO_DISABLE"] == "1", "logprobs need no compiler"
    assert "TORCHDYNAMO_DISABLE" not in environment(OPTIONS | {"arguments": {"enforce-eager": False}})


def test_nothing_is_fetched_or_reported() -> None:
    told = environment(OPTIONS | {"cache_gib": 3, "threads": 1})
    assert (told["VLLM_CPU_KVCACHE_SPACE"], told["OMP_NUM_THREADS"], told["HF_HUB_OFFLINE"], told["VLLM_NO_USAGE_STATS"]) == (
        "3",
        "1",
        "1",
        "1",
    )


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({"stream": True}, {"include_usage": True}),
        ({"stream": True, "stream_options": None}, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": False, "x": 1}}, {"include_usage": True, "x": 1}),
        ({"stream": True, "stream_options": {"include_usage": True}}, None),
        ({"stream": False}, None),
        ({"stream": "yes"}, None),
        ({}, None),
        ([], None),
    ],
)
def test_only_a_stream_that_does_not_tell_its_tokens_is_asked_to(body: object, options: object) -> None:
    asked = asking(json.dumps(body).encode())
    assert (json.loads(asked) if asked else None) == (body | {"stream_options": options} if options else None)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"stream": true, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
def test_what_is_no_json_is_left_to_vllm(body: bytes) -> None:
    assert asking(body) is None


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n'
CHUNKS = [b'data: {"choices":[{"delta":{"content":"data: {\\"choices\\":[]"}}]}\n\n', USAGE, b"data: [DONE]\n\n"]


def through(body: dict[str, object], path: str = "/v1/chat/completions") -> tuple[bytes, list[bytes]]:
    """What the application is asked, in two parts, and what the caller gets."""
    parts = json.dumps(body).encode()
    waiting = [
        {"type": "http.request", "body": parts[:5], "more_body": True},
        {"type": "http.request", "body": parts[5:], "more_body": False},
        {"type": "http.disconnect"},
    ]
    asked, got = b"", []

    async def application(scope, receive, send) -> None:
        nonlocal asked
        more = True
        while more:
            message = await receive()
            asked, more = asked + message["body"], message["more_body"]
        await send({"type": "http.response.start", "status": 200})
        for chunk in CHUNKS:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    async def receive():
        return waiting.pop(0)

    async def send(message) -> None:
        got.append(message.get("body"))

    asyncio.run(TellTokens(application)({"type": "http", "path": path, "headers": []}, receive, send))
    return asked, got[1:]


def test_an_unasked_chunk_becomes_a_comment_and_all_else_passes_as_it_is() -> None:
    asked, got = through({"stream": True, "model": "chat"})
    assert json.loads(asked)["stream_options"] == {"include_usage": True}
    assert got == [CHUNKS[0], b": " + USAGE, CHUNKS[2]]


@pytest.mark.parametrize("body", [{"stream": True, "stream_options": {"include_usage": True}}, {"stream": False}])
def test_who_asks_for_it_gets_it(body: dict[str, object]) -> None:
    asked, got = through(body)
    assert json.loads(asked) == body and got == CHUNKS


def test_what_is_no_stream_is_left_alone() -> None:
    asked, got = through({"stream": True}, "/tokenize")
    assert json.loads(asked) == {"stream": True} and got == CHUNKS


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/load_lora_adapter", "/invocations", "/docs", "/v1/chat/completions/render"])
def test_there_are_no_other_paths(path: str) -> None:
    asked, got = through({}, path)
    assert asked == b"" and got[0] != CHUNKS[0]


GUARD = {"header": "x-key", "key": "secret"}


@pytest.mark.parametrize(
    ("kind", "path", "headers", "status"),
    [
        ("http", "/health", [], 0),
        ("http", "/v1/models", [], 401),
        ("http", "/metrics", [(b"x-key", b"other")], 401),
        ("http", "/v1/chat/completions", [(b"authorization", b"Bearer secret")], 401),
        ("http", "/v1/chat/completions", [(b"x-key", b"secret")], 0),
        ("http", "/v1/embeddings", [(b"x-key", b"secret")], 0),
        ("http", "/v1/responses", [(b"x-key", b"secret")], 404),
        ("websocket", "/v1/realtime", [(b"x-key", b"secret")], 404),
        ("websocket", "/health", [], 401),
    ],
)
def test_nobody_without_the_key_is_told_anything(kind: str, path: str, headers: list, status: int) -> None:
    assert refusal({"type": kind, "path": path, "headers": headers}, GUARD) == status


def test_an_adapter_answers_to_its_own_key_alone() -> None:
    seen = []

    async def application(scope, receive, send) -> None:
        seen.append(scope["headers"])

    async def none() -> dict:
        return {"type": "http.disconnect"}

    async def send(message) -> None:
        seen.append(message.get("status"))

    one = OneAdapter(application, "n", "chat", "/a", {"header": "x-key", "key": "its own"})
    for key in (b"its own", b"secret"):
        asyncio.run(one({"type": "http", "path": "/metrics", "headers": [(b"x-key", key)]}, none, send))
    assert seen[:2] == [[(b"x-key", b"its own")], 401]


def test_a_caller_that_goes_before_it_has_asked_is_let_go() -> None:
    async def gone():
        return {"type": "http.disconnect"}

    async def fail(*_) -> None:
        raise AssertionError

    asyncio.run(TellTokens(fail)({"type": "http", "path": vllm_server.STREAMED[0], "headers": []}, gone, fail))


# One adapter on its own port


def asked_of_an_adapter(
    answer: list[dict], body: bytes = b'{"model": "chat"}', path: str = "/v1/chat/completions"
) -> tuple[bytes, list[dict]]:
    """What the application is asked, and what the caller gets of its answer."""
    asked, got = b"", []

    async def application(scope, receive, send) -> None:
        nonlocal asked
        asked = (await receive())["body"]
        for message in answer:
            await send(message)

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message) -> None:
        got.append(message)

    one = OneAdapter(application, "revision-chat-3-abc", "chat", "/a", {})
    asyncio.run(one({"type": "http", "path": path, "headers": []}, receive, send))
    return asked, got


def test_an_adapter_is_asked_by_its_own_name_and_answers_by_the_callers() -> None:
    body = b'{"model":"revision-chat-3-abc","said":"its name is \\"model\\":\\"revision-chat-3-abc\\""}'
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode()), (b"x", b"y")]}
    asked, got = asked_of_an_adapter([start, {"type": "http.response.body", "body": body}])
    assert json.loads(asked) == {"model": "revision-chat-3-abc"}
    found = got[1]["body"]
    assert json.loads(found) == json.loads(body) | {"model": "chat"}
    assert got[0]["headers"] == [(b"x", b"y"), (b"content-length", str(len(found)).encode())]


def test_a_stream_of_an_adapter_begins_at_once_and_each_chunk_is_renamed() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}
    chunks = [{"type": "http.response.body", "body": b'data: {"model":"revision-chat-3-abc"}\n\n', "more_body": True}] * 2
    _, got = asked_of_an_adapter([start, *chunks])
    assert got == [start, *({**chunk, "body": b'data: {"model":"chat"}\n\n'} for chunk in chunks)]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_request_is_left_to_vllm(body: bytes) -> None:
    assert asked_of_an_adapter([], body)[0] == body


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/invocations", "/v1/responses"])
def test_an_adapters_port_has_no_other_paths(path: str) -> None:
    asked, got = asked_of_an_adapter([], path=path)
    assert (asked, got[0]["status"]) == (b"", 404)


def test_a_base_with_adapters_is_told_so_and_its_routes_for_them_stay_closed() -> None:
    line = arguments(OPTIONS | {"adapters": "/list.json"})
    assert "--enable-lora" in line and line[line.index("--middleware") + 1].endswith(".WithAdapters")
    assert "--enable-lora" not in arguments(OPTIONS)
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in environment(OPTIONS | {"adapters": "/list.json"})
