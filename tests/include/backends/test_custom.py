"""Servers that nobody here wrote, by the spec alone: MLServer behind the gateway with KServe v2, vLLM's own with OpenAI's API, and one
whose paths are passed through."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from include.backends import options
from include.backends.custom.backend import Custom
from include.backends.custom.spec import CustomChatServe, CustomServe
from include.backends.registry import backend
from include.bundles import chat_golden
from include.bundles import golden_probe as golden
from include.bundles.chat import ChatBundle
from include.bundles.table import Bundle
from include.errors import ComponentError, InputError
from include.kinds.load import load
from include.runtime.sandbox import users
from include.serving.host import networks
from include.serving.kubernetes.options import ClusterOptions
from include.serving.kubernetes.routes import RENDERERS, Split
from include.serving.kubernetes.server import Workload
from include.spec.problem import SpecError
from include.verdict import Decision
from tests import stranger
from tests.include.backends.cases import FILES, WAITS
from tests.include.backends.vllm.vllm_bundle import vllm_bundle
from tests.include.serving.stage import Stage, listening

MLSERVER = os.environ.get("UPDRAFT_TEST_MLSERVER", "")
ONNX = """
import os

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Onnx(MLModel):
    async def load(self):
        self._session = onnxruntime.InferenceSession(os.environ["MODEL_FILE"])
        return True

    async def predict(self, payload):
        inputs = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        names = [one.name for one in self._session.get_outputs()]
        outputs = [NumpyCodec.encode_output(name, value) for name, value in zip(names, self._session.run(names, inputs))]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""
SPEC = """
name: wine
task: classification
data: {source: data.csv, target: cultivar}
serve:
  backend: custom
%s
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a model, but for its spec."""
    made = tmp_path / "wine"
    made.mkdir()
    (made / "data.csv").write_text("cultivar,a\n1,2\n")
    (made / "train.py").write_text("def train(X, y, params): ...\n")
    (made / "expectations.yaml").write_text("[]\n")
    return made


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.skipif(not MLSERVER, reason="UPDRAFT_TEST_MLSERVER not set: a Python 3.11 with mlserver and onnxruntime")
def test_mlserver_answers_golden_inputs_through_the_gateway(stage: Stage, tmp_path: Path):
    bundle = shutil.copytree(stage.bundles / "good", tmp_path / "bundle")
    code = bundle / "code"
    code.mkdir(exist_ok=True)
    (code / "served.py").write_text(ONNX)
    (code / "settings.json").write_text(json.dumps({"parallel_workers": 0, "metrics_dir": "/tmp"}))
    (code / "model-settings.json").write_text(json.dumps({"implementation": "served.Onnx"}))
    serve = CustomServe(
        command=(str(Path(MLSERVER).parent / "mlserver"), "start", "{code}"),
        environment={
            "MLSERVER_HOST": "{host}",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{port2}",
            "MLSERVER_METRICS_PORT": "{port3}",
            "MLSERVER_MODEL_NAME": "{model}",
            "MODEL_FILE": "{folder}/model.onnx",
            "PATH": f"{Path(MLSERVER).parent}:/usr/bin:/bin",
            "PYTHONPATH": "{code}",
        },
        reads=(str(Path(MLSERVER).parents[1]),),
        further_ports=2,
        metrics="/metrics",
        metrics_port="port3",
        start_timeout_s=WAITS,
    )
    revision = stage.backend.start(bundle, "of_mlserver", "1", serve)
    try:
        stage.gateway.add_revision(revision.endpoint())
        stage.gateway.set_split("of_mlserver", {"1": 100})
        headers = stage.credentials.probe_headers("demo", "1")
        verdict = golden.check(stage.settings.gateway_url, headers, "of_mlserver", Bundle.read(bundle).golden, max_batch_size=serve.at_once)
        assert verdict.decision is Decision.PASS, verdict.reasons
        assert stage.infer("of_mlserver").status_code == 200
        assert "rest_server" in httpx.get(f"http://{revision.host}:{revision.ports[2]}/metrics", headers=stage.key(revision)).text
        assert not stage.backend.ready(replace(revision, model="impostor"))
    finally:
        stage.gateway.retire("of_mlserver")
        stage.backend.stop(revision)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_vllms_own_server_answers_golden_prompts_by_openais_api(stage: Stage):
    """Without a line of the backend `vllm`."""
    bundle = vllm_bundle(stage)
    serve = CustomChatServe(
        runtime="vllm",
        command=(
            *("{python}", "-m", "vllm.entrypoints.openai.api_server", "--model", "{folder}/model", "--served-model-name", "{model}"),
            *("--host", "{host}", "--port", "{port}", "--max-model-len", "{context}", "--max-num-seqs", "{parallel}", "--enforce-eager"),
        ),
        environment={"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "TORCHDYNAMO_DISABLE": "1"},
        context=2048,
        health="/health",
        metrics="/metrics",
        waiting="vllm:num_requests_waiting",
        stop_wait_s=30,
    )
    revision = stage.backend.start(bundle, "of_openai", "1", serve)
    try:
        stage.gateway.add_revision(revision.endpoint())
        stage.gateway.set_split("of_openai", {"1": 100})
        url, headers = stage.settings.gateway_url, stage.credentials.probe_headers("demo", "1")
        verdict = chat_golden.check(url, headers, "of_openai", ChatBundle.read(bundle).golden)
        assert verdict.decision is Decision.PASS, verdict.reasons
    finally:
        stage.gateway.retire("of_openai")
        stage.backend.stop(revision)


@pytest.mark.integration
def test_a_server_of_its_own_protocol_is_passed_through_under_its_models_path(stage: Stage):
    revision = stage.backend.start(stage.bundles / "good", "of_files", "1", FILES)
    try:
        stage.gateway.add_revision(revision.endpoint())
        assert stage.client.get("/models/of_files/golden.json").status_code == 503
        stage.gateway.set_split("of_files", {"1": 100})
        answer = stage.client.get("/models/of_files/golden.json")
        assert (answer.status_code, answer.headers["x-updraft-revision"]) == (200, "1")
        assert answer.json() == json.loads((stage.bundles / "good" / "golden.json").read_text())
        assert httpx.get(f"{stage.settings.gateway_url}/models/of_files/golden.json").status_code == 401
        assert stage.client.get("/models/of_others/golden.json").status_code == 404
        assert stage.client.get("/models/of_files/../../v2/health/live").status_code != 500
        assert stage.client.post("/v2/models/of_files/infer", json={}).status_code == 404
    finally:
        stage.gateway.retire("of_files")
        stage.backend.stop(revision)


@pytest.mark.integration
@pytest.mark.skipif(not networks(), reason="the kernel gives servers no network of their own here: make up says so")
def test_who_has_not_the_key_gets_nothing_of_a_server_that_knows_none(stage: Stage):
    """The server is Python's file server, which answers everybody."""
    revision = stage.backend.start(stage.bundles / "good", "of_guarded", "1", FILES)
    try:
        assert httpx.get(f"{revision.url}/golden.json", headers=stage.key(revision)).status_code == 200
        for headers in ({}, {"x-updraft-key": ""}, {"x-updraft-key": "guess"}, {"authorization": "Bearer guess"}):
            for path in ("/golden.json", "/signature.json?", "/", "/nowhere"):
                answer = httpx.get(revision.url + path, headers=headers)
                assert answer.status_code == 401 and b"gateway" in answer.content
        well = httpx.get(revision.url + revision.health)
        assert (well.status_code, well.content) == (200, b"")
        assert listening(stage, revision) == {(revision.host, revision.http_port)}
    finally:
        stage.backend.stop(revision)


@pytest.mark.integration
@stranger.needs_root
def test_nothing_that_a_server_has_started_outlives_its_stop_or_its_pause(stage: Stage):
    """A process out of its group and session, with nothing in its environment by which it could be known."""
    server = " ".join(FILES.command)
    left = FILES.model_copy(update={"command": ("/bin/sh", "-c", f"setsid env -i /bin/sleep 98765 & exec {server}")})
    revision = stage.backend.start(stage.bundles / "good", "of_leavers", "1", left)
    user = int(Path(f"/proc/{stage.supervisor.info(revision.program)[1]}/status").read_text().split("Uid:")[1].split()[0])
    try:
        assert users.given(user) and len(users._processes(user)) >= 3
        port = revision.http_port
        stage.backend.pause(revision)
        assert users._processes(user) == [] and stranger.tries(port) == []
    finally:
        stage.backend.stop(revision)
    assert stranger.tries(port) != []


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "serve.command: is missing"),
        ("  command: [serve]", "serve.port: the server is not told where to listen"),
        ("  command: [serve, '{prot}']\n  port: 8080", "nothing is called {prot}"),
        ("  command: [serve, '{port}', '{port2}']", "serve.further_ports: is 0: there is no port2"),
        ("  command: [serve, '{port}', '{key}']", "serve.command: holds `{key}`"),
        ("  command: [serve, '{port}']\n  protocol: own", "serve.health: is missing"),
        ("  command: [serve, '{port}']\n  protocol: http", "serve.protocol: 'http' is not allowed"),
        ("  command: [serve, '{port}']\n  waiting: queue", "serve.waiting: is a figure of `metrics`"),
        ("  command: [serve, '{port}']\n  wrapper: serving:Wrapper", "serve.wrapper: is no field of this backend. Only triton has it"),
        ("  command: [serve, '{port}']\n  stop_signal: SIGTERM", "serve.stop_signal: 'SIGTERM' is not allowed"),
    ],
)
def test_a_spec_that_could_not_be_served_is_refused_by_line_and_field(folder, lines, says):
    (folder / "model.yaml").write_text(SPEC % lines)
    with pytest.raises(SpecError) as error:
        load(folder / "model.yaml")
    assert says in str(error.value)


def test_an_unknown_backend_is_an_error_that_names_those_there_are(folder):
    (folder / "model.yaml").write_text((SPEC % "").replace("custom", "tritn"))
    with pytest.raises(SpecError, match=r"serve\.backend: 'tritn' is not allowed.*triton"):
        load(folder / "model.yaml")
    with pytest.raises(InputError, match="there is no backend 'tritn'"):
        backend("tritn")


def test_how_a_version_is_served_is_kept_and_read_again(tmp_path):
    for serve in (FILES, CustomChatServe(command=("serve", "{port}"))):
        options.save(tmp_path, serve, {"a": 1})
        assert options.read(tmp_path) == (serve, {"a": 1})


def test_a_program_that_is_not_here_is_named_before_anything_starts(stage: Stage):
    with pytest.raises(ComponentError, match="no program 'nothing-of-this-name'"):
        Custom().prepare(stage.settings, CustomServe(command=("nothing-of-this-name", "{port}")))
    with pytest.raises(ComponentError, match="image is no process"):
        Custom().prepare(stage.settings, CustomServe(image="bentoml/iris:1", port=3000))


def test_two_that_cannot_be_told_their_port_do_not_meet_on_one_machine(stage: Stage):
    fixed = FILES.model_copy(update={"command": tuple(word.replace("{port}", "28999") for word in FILES.command), "port": 28999})
    first = stage.backend.start(stage.bundles / "good", "of_fixed", "1", fixed)
    try:
        assert first.http_port == 28999
        with pytest.raises(InputError, match="another revision has port 28999"):
            stage.backend.start(stage.bundles / "good", "of_fixed", "2", fixed)
        assert stage.backend.list("of_fixed") == [first]
    finally:
        stage.backend.stop(first)


def test_an_image_gets_arguments_its_port_and_its_signal_on_a_cluster():
    serve = CustomServe(
        image="bentoml/iris:1", command=("serve", "{port}"), port=3000, protocol="own", health="/readyz", live="/livez", stop_signal="INT"
    )
    server = Workload("iris", serve, 2, ClusterOptions())
    container = server.container("server")
    assert (container["image"], container["args"], "command" in container) == ("bentoml/iris:1", ["serve", "3000"], False)
    assert container["ports"] == [{"name": "http", "containerPort": 3000, "protocol": "TCP"}]
    assert (container["readinessProbe"]["httpGet"]["path"], container["livenessProbe"]["httpGet"]["path"]) == ("/readyz", "/livez")
    assert "kill -INT 1" in container["lifecycle"]["preStop"]["exec"]["command"][-1]
    (route,) = RENDERERS["httproute"](Split(server))
    assert route["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/models/iris"}}]
    assert route["spec"]["rules"][0]["backendRefs"][0]["port"] == 3000
