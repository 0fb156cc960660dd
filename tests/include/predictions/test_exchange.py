"""What the gateway tells of becomes rows; what can't be read costs no more than itself."""

from __future__ import annotations

import base64
import gzip
import json
import struct

import pytest

from include.predictions.exchange import LONGEST_NAME, MOST_DEPTH, MOST_FIELDS, rows

INFER, CHAT = "/v2/models/wine/infer", "/v1/chat/completions"
COLUMNS = ("alcohol", "ash")


def told(request: bytes | str | dict, response: bytes | str | dict = b"", *, path: str = INFER, **changed: str) -> dict[str, str]:
    """As the gateway tells it: what is missing is a dash, what is no ASCII in base64."""
    facts = {"id": "i", "time": "1796069806.5", "kind": "live", "model": "wine", "revision": "3", "key": "shop", "path": path}
    facts |= {"status": "200", "total_us": "2500"}
    for name, body in (("request", request), ("response", response)):
        data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
        plain = data.isascii()
        facts |= {name: data.decode() if plain and data else "-", f"{name}_base64": "-" if plain else base64.b64encode(data).decode()}
    return facts | changed


def tensor(name: str, kind: str, shape: list[int], data: list, **more) -> dict:
    return {"name": name, "datatype": kind, "shape": shape, "data": data, **more}


def parsed(facts: dict[str, str]) -> list[dict]:
    return rows(facts, lambda model, version: COLUMNS)


ONE = {"inputs": [tensor("input", "FP32", [1, 2], [13, 2.5])]}


def test_a_row_of_a_numeric_table_has_its_columns_names():
    answer = {"outputs": [tensor("label", "BYTES", [1, 1], ["red"]), tensor("probabilities", "FP32", [1, 2], [0.25, 0.75])]}
    (found,) = parsed(told(ONE, answer))
    assert found["inputs"] == {"alcohol": 13.0, "ash": 2.5} and isinstance(found["inputs"]["alcohol"], float)
    assert found["outputs"] == {"label": "red", "probabilities": [0.25, 0.75]}
    facts = {name: found[name] for name in ("id", "time", "model", "version", "key", "kind", "latency_ms", "status")}
    assert facts == {"id": "i", "time": 1796069806.5, "model": "wine", "version": 3, "key": "shop", "kind": "live"} | {
        "latency_ms": 2.5,
        "status": 200,
    }


def test_each_row_of_a_request_is_a_row():
    request = {"inputs": [tensor("plan", "BYTES", [2, 1], [["basic"], ["pro"]]), tensor("age", "INT64", [2, 1], [3, None])]}
    answer = {"outputs": [tensor("prediction", "FP64", [2, 1], [1, 2])]}
    found = parsed(told(request, answer))
    assert [row["id"] for row in found] == ["i.0", "i.1"]
    assert [row["inputs"] for row in found] == [{"plan": "basic", "age": 3}, {"plan": "pro", "age": None}]
    assert [row["outputs"] for row in found] == [{"prediction": 1.0}, {"prediction": 2.0}]


def test_binary_tensors_are_read():
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"basic", "größer".encode()))
    numbers = struct.pack("<2f", 1.5, 2.5)
    sized = [
        {"name": name, "datatype": kind, "shape": [2, 1], "parameters": {"binary_data_size": len(data)}}
        for name, kind, data in (("plan", "BYTES", texts), ("age", "FP32", numbers))
    ]
    head = json.dumps({"inputs": sized}).encode()
    found = parsed(told(head + texts + numbers, request_head=str(len(head))))
    assert [row["inputs"] for row in found] == [{"plan": "basic", "age": 1.5}, {"plan": "größer", "age": 2.5}]


def test_compressed_answers_are_read():
    answer = json.dumps({"outputs": [tensor("label", "INT64", [1], [2])]}).encode()
    assert parsed(told(ONE, gzip.compress(answer), response_coding="gzip"))[0]["outputs"] == {"label": 2}
    assert parsed(told(ONE, gzip.compress(answer)[:-9], response_coding="gzip"))[0]["outputs"] == {}
    assert parsed(told(ONE, gzip.compress(b" " * 2**24), response_coding="gzip"))[0]["outputs"] == {}
    assert parsed(told(ONE, b"?", response_coding="br"))[0]["outputs"] == {}


@pytest.mark.parametrize(
    "request_body",
    [
        "",
        "{",
        "[]",
        {"inputs": 1},
        {"inputs": [1]},
        {"inputs": [{"name": "a"}]},
        {"inputs": [tensor("a", "FP32", [0], [])]},
        {"inputs": [tensor("a", "FP32", [3], [1, 2])]},
        "[" * 100_000,
        {"inputs": [tensor("a", "FP32", ["x"], [1])]},
    ],
    ids=lambda body: str(body)[:30],
)
def test_what_is_no_request_has_no_inputs(request_body):
    (found,) = parsed(told(request_body, {"error": "no"}, status="400"))
    assert (found["inputs"], found["outputs"], found["status"]) == ({}, {}, 400)


def test_a_tensor_of_another_length_is_left_out():
    found = parsed(told({"inputs": [tensor("a", "INT64", [2, 1], [1, 2]), tensor("b", "INT64", [3, 1], [1, 2, 3])]}))
    assert [row["inputs"] for row in found] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("kind", ["probe", "batch", "-"])
def test_the_platforms_own_requests_are_not_logged(kind):
    assert parsed(told(ONE, kind=kind)) == []


def test_nobodys_answer_is_of_version_0():
    (found,) = parsed(told(ONE, revision="-", status="503", key="-"))
    assert (found["version"], found["key"]) == (0, "")


MESSAGES = [{"role": "user", "content": "Hallo, größer!"}]


def test_a_chat_has_its_messages_and_its_answer():
    answer = {
        "choices": [{"index": 0, "message": {"content": "Ja"}, "finish_reason": "stop"}, {"index": 1, "message": {"content": "Nein"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }
    (found,) = parsed(told({"model": "wine", "messages": MESSAGES, "temperature": 0, "stop": None}, answer, path=CHAT))
    assert found["inputs"] == {"messages": MESSAGES, "temperature": 0}
    assert found["outputs"] == {"text": "Ja", "finish_reason": "stop", "prompt_tokens": 5, "completion_tokens": 2}


def test_a_streamed_answer_is_put_together():
    pieces = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in ("grö", "ßer")]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    stream = "".join(f"data: {json.dumps(piece, ensure_ascii=False)}\n\n" for piece in (*pieces, last)) + "data: [DONE]\n\n"
    (found,) = parsed(told({"messages": MESSAGES, "stream": True}, stream, path=CHAT))
    assert found["outputs"] == {"text": "größer", "finish_reason": "length"}


def test_completions_and_embeddings_are_told_apart():
    answer = {"choices": [{"index": 0, "text": " upon", "finish_reason": "stop"}]}
    (done,) = parsed(told({"prompt": "Once"}, answer, path="/v1/completions"))
    assert (done["inputs"], done["outputs"]["text"]) == ({"prompt": "Once"}, " upon")
    (vector,) = parsed(told({"input": "text"}, {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 1}}, path="/v1/embeddings"))
    assert vector["outputs"] == {"prompt_tokens": 1}


@pytest.mark.parametrize(
    "answer", [{"choices": 1}, {"choices": [1]}, {"choices": [{"message": "x"}]}, {"usage": []}, "data: {", "null"], ids=str
)
def test_an_odd_answer_to_a_chat_costs_nothing_but_itself(answer):
    assert parsed(told({"messages": MESSAGES}, answer, path=CHAT))[0]["inputs"] == {"messages": MESSAGES}


@pytest.mark.parametrize(
    "request_body",
    [
        {"inputs": [tensor("a", "INT64", [5000, 1], [1] * 5000)]},
        '{"inputs": [{"name": "a", "datatype": "FP32", "shape": [1, 1], "data": [1' + "0" * 400 + "]}]}",
        '{"inputs": [{"name": "a", "datatype": "FP32", "shape": [1e999], "data": [1]}]}',
        {"inputs": [tensor("a", "BYTES", [1, 1], [{"deep": {"deeper": 1}}])]},
    ],
    ids=["rows", "a huge number", "an endless shape", "no scalar"],
)
def test_what_a_hostile_request_holds_is_left_out_and_the_exchange_is_kept(request_body):
    (found,) = parsed(told(request_body, {"outputs": []}))
    assert found["inputs"] == {} and found["status"] == 200


def test_of_a_request_that_was_refused_or_failed_the_exchange_alone_is_kept():
    for status in ("400", "503"):
        (found,) = parsed(told(ONE, status=status))
        assert (found["inputs"], found["outputs"], found["status"]) == ({}, {}, int(status))


def test_half_a_character_becomes_a_question_mark():
    body = json.dumps({"inputs": [tensor("a\ud800", "BYTES", [1, 1], ["b\ud800"])]})
    (found,) = parsed(told(body, {"outputs": []}))
    assert found["inputs"] == {"a?": "b?"}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [MOST_DEPTH + 1, 500, 990, 100_000])
@pytest.mark.parametrize("part", ["request", "answer"])
def test_what_is_nested_deeper_than_anybody_can_read_is_left_out(part, depth):
    deep = f'{{"messages": {nested(depth)}, "choices": [{{"message": {{"content": "x", "tool_calls": {nested(depth)}}}}}]}}'
    (found,) = parsed(told(deep, {}, path=CHAT) if part == "request" else told({"messages": MESSAGES}, deep, path=CHAT))
    assert found["inputs" if part == "request" else "outputs"] == {} and found["status"] == 200


def test_names_that_callers_invent_are_few_and_short():
    (found,) = parsed(told({**{f"n{number}": 1 for number in range(1000)}, "x" * 5000: 1}, path=CHAT))
    assert len(found["inputs"]) == MOST_FIELDS and max(map(len, found["inputs"])) <= LONGEST_NAME
    assert parsed(told({"inputs": [tensor("x" * 5000, "INT64", [1], [1])]}, {"outputs": []}))[0]["inputs"] == {}


def test_half_a_character_in_a_chat_becomes_a_question_mark():
    (found,) = parsed(told('{"prompt": "a\\ud800", "\\udfff": {"x\\ud800": ["\\ud800"]}}', path="/v1/completions"))
    assert found["inputs"] == {"prompt": "a?", "?": {"x?": ["?"]}}
