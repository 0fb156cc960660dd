"""Who comes in, and how far."""

import json

import httpx
import pytest

from include.gateway.listener import MAX_BODY_BYTES
from include.platform import listeners
from include.runtime import family
from tests.include.serving.stage import KEY, OTHER_KEY, SECRET
from tests.waiting import until

pytestmark = pytest.mark.integration


def bare(stage, path, headers=None, method="GET", **options):
    return httpx.request(method, stage.settings.gateway_url + path, headers=headers or {}, **options)


def error(answer):
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["error"]


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_health_needs_no_key(stage, duo, path):
    assert bare(stage, path).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": "wrong"}, {"x-api-key": ""}, {"authorization": "Bearer wrong"}, {"authorization": KEY + "x"}]
)
def test_without_a_right_key_nothing_is_told(stage, duo, headers):
    for path in ("/v2/models/duo", "/v2/models/nobody", "/elsewhere"):
        answer = bare(stage, path, headers)
        assert answer.status_code == 401
        assert "API key" in error(answer)


@pytest.mark.parametrize("headers", [{"x-api-key": KEY}, {"authorization": f"Bearer {OTHER_KEY}"}])
def test_a_key_opens_in_either_header(stage, duo, headers):
    assert bare(stage, "/v2/models/duo/ready", headers).status_code == 200


def test_metadata_and_inference_are_served(stage, duo):
    assert stage.client.get("/v2/models/duo").json()["name"] == "duo"
    assert stage.infer("duo").status_code == 200


def test_an_unknown_model_is_named_in_the_refusal(stage, duo):
    answer = stage.infer("nobody")
    assert answer.status_code == 404
    assert "nobody" in error(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/duo/versions/1/infer",
        "/v2/models/duo/versions/2",
        "/v2/models/duo/config",
        "/v2/models/duo/stats",
        "/v2/repository/index",
        "/v2/repository/models/duo/unload",
        "/v2/systemsharedmemory/status",
        "/v2",
        "/metrics",
        "/",
        "/v2/models/duo/../../repository/index",
        "/v2/models/duo//versions/1/infer",
    ],
)
def test_no_other_path_reaches_a_server(stage, duo, path):
    answer = stage.client.post(path, content=b"{}")
    assert answer.status_code == 404
    assert "no such path" in error(answer)


def test_escaped_slashes_are_refused(stage, duo):
    assert stage.client.get("/v2/models/duo%2Fversions%2F1").status_code == 400


def test_an_over_long_body_is_refused_with_the_limit(stage, duo):
    answer = stage.client.post("/v2/models/duo/infer", content=b"x" * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert str(MAX_BODY_BYTES) in error(answer)


def test_a_wrong_shape_is_refused_by_the_model_with_a_sentence(stage, duo):
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
    answer = stage.client.post("/v2/models/duo/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400
    assert "shape" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"", b"{}", b"[]", b'{"inputs": 5}', b'{"inputs": [{"name": "input", "data": [1]}]}'])
def test_a_body_that_is_no_inference_request_is_refused(stage, duo, body):
    """Triton itself says 500 to most of these."""
    answer = stage.client.post("/v2/models/duo/infer", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_shape_that_does_not_fit_its_data_is_refused(stage, duo):
    tensor = {"name": "input", "datatype": "FP32", "shape": [2, 8], "data": [1] * 8}
    answer = stage.client.post("/v2/models/duo/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400
    assert "Shape does not match" in answer.json()["error"]


def test_the_answer_tells_its_revision(stage, duo):
    assert stage.infer("duo").headers["x-updraft-revision"] == "1"


def test_a_probe_reaches_a_revision_without_traffic(stage, duo):
    answer = stage.infer("duo", headers=stage.credentials.probe_headers("demo", "2"))
    assert (answer.status_code, answer.headers["x-updraft-revision"]) == (200, "2")


def test_a_probe_needs_a_key_as_well(stage, duo):
    headers = {"x-updraft-probe": SECRET, "x-updraft-revision": "2"}
    assert bare(stage, "/v2/models/duo", headers).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"x-updraft-revision": "2"},
        {"x-updraft-revision": "2", "x-updraft-probe": "guess"},
        {"x-updraft-revision": "2", "x-updraft-probe": ""},
        {"x-updraft-mirror": "1"},
    ],
)
def test_ordinary_callers_cannot_choose_a_revision(stage, duo, headers):
    assert {stage.infer("duo", headers=headers).headers["x-updraft-revision"] for _ in range(5)} == {"1"}


def test_a_model_without_a_live_revision_says_so(stage, pair):
    endpoint = pair[0].endpoint()
    stage.gateway.add_revision(type(endpoint)("newborn", "1", endpoint.port))
    answer = stage.infer("newborn")
    stage.gateway.retire("newborn")
    assert answer.status_code == 503
    assert "newborn has no live revision yet" in error(answer)


def test_callers_cannot_steer_envoy(stage, duo):
    answer = stage.infer("duo", headers={"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx", "x-request-id": "chosen-by-me"})
    assert answer.status_code == 200
    until(lambda: b"/infer" in stage.gateway.access_log.read_bytes())
    assert b"chosen-by-me" not in stage.gateway.access_log.read_bytes()


def test_the_log_names_the_client_and_holds_no_secret(stage, duo):
    for key, client in ((KEY, "demo"), (OTHER_KEY, "other")):
        bare(stage, f"/v2/models/duo?from={client}", {"x-api-key": key, "x-updraft-client": "forged"})
    stage.infer("duo", headers=stage.credentials.probe_headers("demo", "2"))

    def clients():
        return {json.loads(line)["client"] for line in stage.gateway.access_log.read_text().splitlines()}

    until(lambda: {"demo", "other"} <= clients())
    text = stage.gateway.access_log.read_text() + (stage.settings.logs / "envoy.log").read_text()
    assert "forged" not in text
    for secret in (KEY, OTHER_KEY, SECRET):
        assert secret not in text


def test_configuration_with_secrets_is_the_owners_alone(stage, duo):
    for path in (stage.settings.envoy / "xds").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_envoys_administration_is_a_socket_of_its_owner_and_no_port(stage, duo):
    assert stage.settings.gateway_admin.stat().st_mode & 0o777 == 0o600
    assert stage.settings.envoy.stat().st_mode & 0o077 == 0
    processes = family.family(str(stage.settings.home), "envoy")
    assert {(found.kind, found.host, found.port) for found in listeners.of(processes)} == {
        ("tcp", "127.0.0.1", stage.settings.gateway_port),
        ("unix", str(stage.settings.gateway_admin), 0),
    }
