"""A request that a model answers, out of what the gateway knows of it."""

import json

from include.gateway.endpoint import Endpoint
from lifecycle.api.calling import request

TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.0]}


def test_rows_go_before_tensors_and_both_are_the_models_own() -> None:
    about = {"example": {"inputs": [TENSOR]}, "example_rows": {"instances": [{"a": 1.5, "b": 2.0}]}}
    found = request("wine", Endpoint("wine", "1", 9000, about=json.dumps(about)))
    assert found == {"path": "/v1/models/wine:predict", "body": about["example_rows"], "tensors": [TENSOR]}
    found = request("wine", Endpoint("wine", "1", 9000, about=json.dumps({"example": about["example"]})))
    assert found["path"] == "/v2/models/wine/infer" and found["body"] == {"inputs": [TENSOR]}


def test_a_chat_and_a_server_of_its_own_protocol() -> None:
    chat = request("support", Endpoint("support", "1", 9000, protocol="openai"))
    assert chat["path"] == "/v1/chat/completions" and chat["body"]["model"] == "support"
    own = request("maps", Endpoint("maps", "1", 9000, protocol="own"))
    assert "body" not in own and own["why"]


def test_a_model_without_an_example_says_so() -> None:
    assert "no example" in request("wine", Endpoint("wine", "1", 9000))["why"]
