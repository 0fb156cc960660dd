import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from include.backends.triton.spec import TritonServe

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def revision(stage):
    options = TritonServe(batch_delay_us=200_000, wrapper="serving:Wrapper")
    revision = stage.backend.start(stage.bundles / "good", "mates", "1", options, {"error_rate": 0})
    yield revision
    stage.backend.stop(revision)


def ask(stage, revision, first):
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 8], "data": [first, *range(7)]}
    return httpx.post(f"{revision.url}/v2/models/mates/infer", json={"inputs": [tensor]}, headers=stage.key(revision), timeout=20)


def executions(stage, revision):
    """Batches that the model has run (Triton's own count)."""
    (found,) = httpx.get(f"{revision.url}/v2/models/mates/stats", headers=stage.key(revision)).json()["model_stats"]
    return int(found["execution_count"])


def test_requests_that_came_together_run_together(stage, revision):
    before = executions(stage, revision)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: ask(stage, revision, number), range(16)))
    assert [answer.status_code for answer in answers] == [200] * 16
    assert executions(stage, revision) - before < 8


def test_each_of_a_batch_gets_its_own_answer(stage, revision):
    alone = [ask(stage, revision, number).json()["outputs"] for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda number: ask(stage, revision, number).json()["outputs"], range(4)))
    for one, other in zip(alone, together, strict=True):
        assert one[0]["data"] == other[0]["data"]
        assert one[1]["data"] == pytest.approx(other[1]["data"], rel=1e-5)


def test_one_requests_error_is_not_its_batch_mates(stage, revision):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: ask(stage, revision, 666 if number == 3 else number), range(8)))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 500, 200, 200, 200, 200]
    assert "the number of the beast" in answers[3].json()["error"]


def test_only_the_outputs_asked_for_come_back(stage, revision):
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 8], "data": list(range(8))}
    body = {"inputs": [tensor], "outputs": [{"name": "label"}]}
    answer = httpx.post(f"{revision.url}/v2/models/mates/infer", json=body, headers=stage.key(revision)).json()
    assert [output["name"] for output in answer["outputs"]] == ["label"]


def test_a_request_that_fails_is_in_the_servers_log_by_the_id_that_the_gateway_gave_it(stage, revision):
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 8], "data": [666, *range(7)]}
    headers = stage.key(revision) | {"x-request-id": "01a23038-7964-7cfe-98f4-73e4067dae8d"}
    assert httpx.post(f"{revision.url}/v2/models/mates/infer", json={"inputs": [tensor]}, headers=headers).status_code == 500
    lines = [json.loads(line) for line in Path(stage.settings.logs, "revision-mates-1.log").read_text().splitlines() if line[:1] == "{"]
    (line,) = [line for line in lines if line["request_id"] == headers["x-request-id"]]
    assert line["level"] == "error" and "the number of the beast" in line["message"]
