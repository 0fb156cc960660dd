"""tritonclient.grpc as it is, through the real gateway to the real Triton."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from include.gateway.key_ring import KeyRing
from include.gateway.observe import read_entries
from include.gateway.rate_limits import Limit
from tests.include.serving.stage import KEY, OTHER_KEY
from tests.waiting import until

pytestmark = pytest.mark.integration
HEADERS = {"x-api-key": KEY}


@pytest.fixture(scope="module")
def address(stage):
    return stage.settings.gateway_url.removeprefix("http://")


@pytest.fixture(scope="module")
def client(address):
    with InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="module")
def stub(address):
    with grpc.insecure_channel(address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def values(stage: Any, rows: int = 1) -> np.ndarray:
    [tensor] = stage.golden_request(rows)["inputs"]
    return np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])


def tensor(array: np.ndarray, name: str = "input") -> InferInput:
    found = InferInput(name, list(array.shape), "FP32")
    found.set_data_from_numpy(array)
    return found


def code_of(call: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    """The code and the sentence with which it is refused."""
    with pytest.raises((InferenceServerException, grpc.RpcError)) as raised:
        call(*arguments, **options)
    error = raised.value
    if isinstance(error, InferenceServerException):
        return error.status(), error.message()
    return f"StatusCode.{error.code().name}", error.details()


def test_an_answer_is_that_of_http(stage, duo, client):
    answer = client.infer(duo, [tensor(values(stage, 3))], headers=HEADERS, request_id="mine")
    said = stage.client.post(f"/v2/models/{duo}/infer", json=stage.golden_request(3)).json()
    assert (answer.get_response().id, answer.get_response().model_name) == ("mine", duo)
    assert {output["name"] for output in said["outputs"]} == {output.name for output in answer.get_response().outputs}
    for output in said["outputs"]:
        assert np.allclose(answer.as_numpy(output["name"]), np.reshape(output["data"], output["shape"]))


def test_it_lives_is_ready_and_tells_its_tensors(stage, duo, client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(duo, headers=HEADERS)
    assert not client.is_model_ready("nobody", headers=HEADERS)
    told = client.get_model_metadata(duo, headers=HEADERS)
    said = stage.client.get(f"/v2/models/{duo}").json()
    assert [(one.name, one.datatype, list(one.shape)) for one in told.inputs] == [
        (one["name"], one["datatype"], one["shape"]) for one in said["inputs"]
    ]
    assert [one.name for one in told.outputs] == [one["name"] for one in said["outputs"]]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}])
def test_nobody_gets_in_without_a_key(stage, duo, client, headers):
    assert code_of(client.infer, duo, [tensor(values(stage))], headers=headers)[0] == "StatusCode.UNAUTHENTICATED"
    assert code_of(client.get_model_metadata, duo, headers=headers)[0] == "StatusCode.UNAUTHENTICATED"


@pytest.mark.parametrize(("scope", "works"), [({"models": ("other",)}, ""), ({"verbs": ("metadata",)}, "metadata"), ({}, "both")])
def test_a_key_is_good_for_its_models_and_verbs_alone(stage, duo, client, scope, works):
    secret = KeyRing(stage.settings, stage.gateway).add("guest", **scope)
    try:
        headers = {"x-api-key": secret}
        if works:
            assert client.get_model_metadata(duo, headers=headers).name == duo
        if works == "both":
            assert client.infer(duo, [tensor(values(stage))], headers=headers)
        else:
            assert code_of(client.infer, duo, [tensor(values(stage))], headers=headers)[0] == "StatusCode.PERMISSION_DENIED"
    finally:
        KeyRing(stage.settings, stage.gateway).revoke("guest")


def test_nothing_but_inference_is_called(duo, client, stub):
    for call in (
        client.load_model,
        client.unload_model,
        client.get_model_config,
        client.get_inference_statistics,
        lambda _, **options: client.get_model_repository_index(**options),
        lambda _, **options: client.register_system_shared_memory("a", "/a", 8, **options),
        lambda _, **options: client.get_trace_settings(**options),
    ):
        status, sentence = code_of(call, duo, headers=HEADERS)
        assert status == "StatusCode.UNIMPLEMENTED" and "ModelInfer" in sentence
    stream = stub.ModelStreamInfer(iter([service_pb2.ModelInferRequest(model_name=duo)]), metadata=[("x-api-key", KEY)])
    assert code_of(lambda: next(stream))[0] == "StatusCode.UNIMPLEMENTED"


def test_the_split_holds_and_calls_are_logged_like_others(stage, duo, client):
    stage.gateway.set_split(duo, {"1": 50, "2": 50})
    cursor = stage.mark()
    for _ in range(40):
        client.infer(duo, [tensor(values(stage))], headers=HEADERS)
    until(lambda: len(calls(stage, cursor, duo)) == 40)
    found = calls(stage, cursor, duo)
    assert {entry.revision for entry in found} == {"1", "2"}
    assert {(entry.kind, entry.client, entry.status, entry.inference) for entry in found} == {("live", "demo", 200, True)}


def calls(stage: Any, cursor: Any, model: str) -> list[Any]:
    return [entry for entry in read_entries(stage.gateway.access_log, cursor)[0] if entry.model == model]


def test_typed_contents_are_taken_as_raw_ones_are(stage, duo, stub):
    array = values(stage, 2)
    shape = list(array.shape)
    asked = service_pb2.ModelInferRequest(model_name=duo)
    contents = service_pb2.InferTensorContents(fp32_contents=array.ravel().tolist())
    asked.inputs.add(name="input", datatype="FP32", shape=shape, contents=contents)
    raw = service_pb2.ModelInferRequest(model_name=duo, raw_input_contents=[array.tobytes()])
    raw.inputs.add(name="input", datatype="FP32", shape=shape)
    answers = [stub.ModelInfer(one, metadata=[("x-api-key", KEY)]) for one in (asked, raw)]
    assert answers[0].raw_output_contents == answers[1].raw_output_contents


def test_what_is_wrong_is_told_in_a_sentence(stage, duo, client, stub):
    metadata = [("x-api-key", KEY)]
    good = tensor(values(stage))
    assert code_of(client.infer, "nobody", [good], headers=HEADERS)[0] == "StatusCode.NOT_FOUND"
    status, sentence = code_of(client.infer, duo, [good], model_version="3", headers=HEADERS)
    assert status == "StatusCode.INVALID_ARGUMENT" and "model_version" in sentence
    status, sentence = code_of(client.infer, duo, [tensor(values(stage), "nonsense")], headers=HEADERS)
    assert status == "StatusCode.INVALID_ARGUMENT" and "nonsense" in sentence
    status, sentence = code_of(client.infer, duo, [tensor(np.zeros((1, 3), np.float32))], headers=HEADERS)
    assert status == "StatusCode.INVALID_ARGUMENT" and "shape" in sentence
    shared = InferInput("input", [1, 8], "FP32")
    shared.set_shared_memory("region", 32)
    status, sentence = code_of(client.infer, duo, [shared], headers=HEADERS)
    assert status == "StatusCode.INVALID_ARGUMENT" and "shared memory" in sentence
    status, sentence = code_of(client.infer, duo, [good], headers=HEADERS, compression_algorithm="gzip")
    assert status == "StatusCode.UNIMPLEMENTED" and "compress" in sentence
    empty = service_pb2.ModelInferRequest(model_name=duo)
    empty.inputs.add(name="input", datatype="FP32", shape=[1, -8])
    status, sentence = code_of(stub.ModelInfer, empty, metadata=metadata)
    assert status == "StatusCode.INVALID_ARGUMENT" and "dimension" in sentence


@pytest.mark.parametrize(
    "message",
    [b"", b"\xff" * 20, b"\x0a\x05du", b"\x0a\x03duo\x2a\x7f", b"\x0a\x04a/..", b"\x3a\x00" * 2000],
    ids=["empty", "no-protobuf", "cut", "a-length-beyond-its-end", "no-name", "too-many-tensors"],
)
def test_what_is_no_message_is_refused_and_the_next_call_answered(stage, duo, client, address, message):
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert code_of(call, message, metadata=[("x-api-key", KEY)])[0] == "StatusCode.INVALID_ARGUMENT"
    assert client.infer(duo, [tensor(values(stage))], headers=HEADERS)


def test_a_message_that_is_too_long_is_refused(stage, duo, client):
    long = np.zeros((300_000, 8), np.float32)
    assert code_of(client.infer, duo, [tensor(long)], headers=HEADERS)[0] in ("StatusCode.RESOURCE_EXHAUSTED", "StatusCode.UNKNOWN")
    assert client.infer(duo, [tensor(values(stage))], headers=HEADERS)


@pytest.mark.parametrize(
    ("many", "says"),
    [
        (lambda asked: [numbers(asked, 50_000) for _ in range(5)], "more than 200000 fields and numbers"),
        (lambda asked: setattr(asked, "id", "\x01" * (2 * 1024 * 1024)), "would be longer than 8388608 bytes"),
    ],
    ids=["numbers", "a text that grows"],
)
def test_a_message_that_would_hold_the_gateway_up_is_refused(stage, duo, stub, many, says):
    asked = service_pb2.ModelInferRequest(model_name=duo)
    many(asked)
    status, sentence = code_of(stub.ModelInfer, asked, metadata=[("x-api-key", KEY)])
    assert status == "StatusCode.INVALID_ARGUMENT" and says in sentence
    asked = service_pb2.ModelInferRequest(model_name=duo)
    numbers(asked, 50_000)  # the next one begins anew
    assert "fields" not in code_of(stub.ModelInfer, asked, metadata=[("x-api-key", KEY)])[1]


def numbers(asked: Any, count: int) -> None:
    contents = service_pb2.InferTensorContents(int64_contents=[0] * count)
    asked.inputs.add(name="input", datatype="INT64", shape=[count], contents=contents)


def test_a_call_by_another_method_than_post_is_none(stage, duo):
    asked = {"content-type": "application/grpc", "x-api-key": KEY}
    for method in ("GET", "PUT"):
        answer = stage.client.request(method, "/inference.GRPCInferenceService/ModelInfer", content=b"\0" * 5, headers=asked)
        assert answer.headers["grpc-status"] == "12", answer.headers


@pytest.mark.parametrize("kind", ["application/json", "application/grpc-web", "application/x-protobuf"])
def test_what_is_no_call_is_told_how_to_ask(stage, duo, kind):
    asked = {"content-type": kind, "x-api-key": KEY, "x-updraft-grpc": "1"}
    answer = stage.client.post("/inference.GRPCInferenceService/ModelInfer", content=b"", headers=asked)
    assert answer.status_code == 400 and "this path is gRPC's" in answer.text


def test_a_keys_limit_of_requests_holds_by_whichever_form_they_come(stage, duo, client):
    stage.gateway.set_limit("demo", Limit(requests=3))
    try:
        assert client.infer(duo, [tensor(values(stage))], headers=HEADERS)
        assert [stage.infer(duo).status_code for _ in range(2)] == [200, 200]
        status, sentence = code_of(client.infer, duo, [tensor(values(stage))], headers=HEADERS)
        assert status == "StatusCode.RESOURCE_EXHAUSTED" and "limit of requests a minute" in sentence
        refused = stage.infer(duo)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1 and "limit of requests" in refused.json()["error"]
        assert client.get_model_metadata(duo, headers=HEADERS), "what is looked up is not counted"
        assert client.infer(duo, [tensor(values(stage))], headers={"x-api-key": OTHER_KEY})
    finally:
        stage.gateway.set_limit("demo", Limit())
