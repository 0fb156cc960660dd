"""How Triton serves on a GPU: chosen over pynvml with a driver that is none, built anew by a TensorRT that is none. The configurations are
read by the real server, which lacks nothing but the backends."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pynvml
import pytest

from include.backends.backend import get
from include.backends.triton import gpu as triton_gpu
from include.backends.triton.gpu import ONNX, PYTHON, TENSORRT, TritonServer
from include.backends.triton.repository import render_config, write_repository
from include.backends.triton.runtime import find_runtime
from include.backends.triton.spec import TritonServe
from include.bundles.limits import Limit
from include.bundles.signature import Signature, Tensor
from include.bundles.table import Bundle
from include.errors import ComponentError, InputError
from include.runtime.settings import REPO, Settings
from include.serving.lease import RevisionLease
from include.spec.parts import ServeResources
from include.tensorrt.gpu import Gpu as Visible
from include.tensorrt.plan import Batches, Key, Sheet, sha256
from tests.include.inventory.fake_driver import Driver, Gpu
from tests.ports import free_port
from tests.waiting import until

SIGNATURE = Signature((Tensor("input", "FP32", (-1, 8)),), (Tensor("prediction", "FP32", (-1, 1)),))
SERVE = TritonServe(resources=ServeResources(gpus=1), max_batch_size=16, preferred_batch_sizes=(1, 8))
FULL = TritonServer(frozenset({PYTHON, ONNX, TENSORRT}), "11.4.0")
LEASE = {"CUDA_VISIBLE_DEVICES": "GPU-1", "UPDRAFT_GPU_LEASE": "1ea5e"}
SUM = """
import sys
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as n

graph = h.make_graph(
    [h.make_node("ReduceSum", ["input", "axes"], ["prediction"], keepdims=1)], "g",
    [h.make_tensor_value_info("input", T.FLOAT, [None, 8])], [h.make_tensor_value_info("prediction", T.FLOAT, [None, 1])],
    [n.from_array(np.array([1]), "axes")],
)
made = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)])
made.ir_version = 9
onnx.save(made, sys.argv[1])
"""
"""Writes a model that adds up the columns."""
BUILT_FOR = Key(Visible("NVIDIA L4", (8, 9)), "11.4.0")


@pytest.fixture
def driver(monkeypatch):
    driver = Driver(Gpu(uuid="GPU-1", name="NVIDIA L4", capability=(8, 9)))
    monkeypatch.setattr(pynvml, "nvmlLib", driver)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return driver


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "tensorrt").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"exact")
    (folder / "signature.json").write_text(json.dumps(SIGNATURE.to_json()))
    golden = {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 8], "data": [0] * 8}],
        "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [1, 1], "data": [0]}],
        "tolerance": {"absolute": 0},
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    onnx, plan = folder / "tensorrt" / "model.onnx", folder / "tensorrt" / "model.plan"
    onnx.write_bytes(b"half")
    plan.write_bytes(b"plan")
    Sheet(BUILT_FOR, "fp16", Batches(16, (1, 8)), 256, sha256(onnx), sha256(plan)).save(folder / "tensorrt" / "plan.json")
    return folder


@pytest.fixture
def settings(tmp_path):
    return replace(Settings.load(), home=tmp_path / "home", runtimes=tmp_path / "runtimes")


def laid_out(bundle, tmp_path, serve=SERVE):
    write_repository(Bundle.read(bundle), tmp_path / "repository", "thing", "1", serve, {})
    return tmp_path / "repository" / "thing" / "1"


def fitted(bundle, tmp_path, settings, server=FULL, environment=LEASE, *, build=True, home=None):
    home = home or laid_out(bundle, tmp_path)
    triton_gpu.fit(home, server, environment, settings, build=build)
    return home, (home.parent / "config.pbtxt").read_text(), triton_gpu.served(home)


def test_a_plan_is_served_on_the_gpu_that_it_was_built_for(driver, bundle, tmp_path, settings):
    home, config, how = fitted(bundle, tmp_path, settings)
    assert 'platform: "tensorrt_plan"' in config and 'kind: KIND_GPU count: 1 profile: [ "0", "1" ]' in config
    assert "preferred_batch_size: [ 1, 8 ]" in config
    assert (home / "model.plan").read_bytes() == b"plan" and how == "Served by Triton's backend tensorrt."


@pytest.fixture
def limited(bundle):
    """The same bundle, whose model takes no missing number in a column."""
    columns = tuple("abcdefgh")
    replace(SIGNATURE, features=columns, limits={"c": Limit(missing=False)}).save(bundle / "signature.json")
    return bundle


@pytest.mark.parametrize(("server", "file"), [(FULL, "model.plan"), (replace(FULL, backends=frozenset({PYTHON, ONNX})), "model.onnx")])
def test_a_model_with_limits_is_served_behind_the_backend_that_checks_them(driver, limited, tmp_path, settings, server, file):
    home, config, how = fitted(limited, tmp_path, settings, server)
    behind = home.parent.with_name("thing-gpu")
    assert 'backend: "python"' in config and 'key: "behind" value { string_value: "thing-gpu" }' in config
    assert "KIND_GPU" in (behind / "config.pbtxt").read_text() and [path.name for path in (behind / "1").iterdir()] == [file]
    assert not (home / "model.plan").exists() and "behind the Python backend, which checks the columns' limits" in how
    _, config, how = fitted(limited, tmp_path, settings, environment={}, home=home)
    assert "behind" not in config and not behind.exists() and "Python" not in how, "on a machine without a GPU nothing is left of it"


@pytest.mark.integration
def test_a_python_model_checks_for_the_model_behind_it(limited, tmp_path):
    """Behind it stands another Python model here: the wheel's server has no other backend."""
    subprocess.run([str(Settings.load().python("trainer")), "-c", SUM, str(limited / "model.onnx")], check=True)
    found, models = Bundle.read(limited), tmp_path / "models"
    write_repository(found, models, "thing", "1", TritonServe(), {})
    write_repository(replace(found, signature=SIGNATURE), tmp_path / "other", "thing-gpu", "1", TritonServe(), {})
    shutil.move(tmp_path / "other" / "thing-gpu", models)
    (models / "thing" / "1" / "model.onnx").write_bytes(b"not what answers")
    (models / "thing" / "config.pbtxt").write_text(render_config("thing", found.signature, TritonServe(), behind="thing-gpu"))
    with server_of(models) as url:
        rows = [[1, 2, 3, 4, 5, 6, 7, 8], [1] * 8]
        tensor = {"name": "input", "datatype": "FP32", "shape": [2, 8], "data": rows}
        answer = httpx.post(f"{url}/v2/models/thing/infer", json={"inputs": [tensor]}, timeout=30)
        assert answer.json()["outputs"][0]["data"] == [36, 8], answer.text
        body = json.dumps({"inputs": [tensor]}).replace("[1, 2, 3", "[1, 2, NaN")
        answer = httpx.post(f"{url}/v2/models/thing/infer", content=body, timeout=30)
        assert answer.status_code == 400 and "column 'c' is missing (NaN)" in answer.text


@contextmanager
def server_of(models):
    """A Triton that serves all that lies in the repository ``models``: its address."""
    runtime, port = find_runtime(Settings.load().python("triton")), free_port()
    command = [str(runtime.server), f"--model-repository={models}", f"--backend-directory={runtime.backends}"]
    command += ["--disable-auto-complete-config", "--allow-grpc=false", "--allow-metrics=false", "--http-address=127.0.0.1"]
    log = models.with_suffix(".log")
    with log.open("w") as out:
        server = subprocess.Popen([*command, f"--http-port={port}"], env=os.environ | runtime.environment(), stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: server.poll() is not None or get(f"{url}/v2/health/ready") is not None, 60)
        assert server.poll() is None, log.read_text()
        yield url
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.parametrize("environment", [LEASE | {"CUDA_VISIBLE_DEVICES": "declared/here/gpu-0"}, {}], ids=["simulated", "no-lease"])
def test_without_a_gpu_of_its_own_it_is_served_as_on_any_machine(driver, bundle, tmp_path, settings, environment):
    _, config, how = fitted(bundle, tmp_path, settings, environment=environment)
    assert 'backend: "python"' in config and "KIND_CPU" in config and "no NVIDIA GPU in the server's lease" in how


@pytest.mark.parametrize(
    ("server", "backend", "why"),
    [
        (TritonServer(frozenset({PYTHON}), ""), PYTHON, "no TensorRT backend; the server has no ONNX Runtime backend"),
        (TritonServer(frozenset({PYTHON, ONNX}), ""), ONNX, "no TensorRT backend"),
        (TritonServer(FULL.backends, ""), ONNX, "can't be told"),
        (TritonServer(FULL.backends, "10.9.0"), ONNX, "built by TensorRT 11.4.0, and this is 10.9.0; it can't be built anew"),
    ],
)
def test_what_the_server_lacks_is_said(driver, bundle, tmp_path, settings, server, backend, why):
    _, config, how = fitted(bundle, tmp_path, settings, server)
    assert f'backend: "{backend}"' in config and why in how


def test_a_plan_of_another_gpu_is_never_loaded(driver, bundle, tmp_path, settings):
    driver.gpus[0].name, driver.gpus[0].capability = "NVIDIA T4", (7, 5)
    home, config, how = fitted(bundle, tmp_path, settings)
    assert 'backend: "onnxruntime"' in config and 'name : "tensorrt"' in config and not (home / "model.plan").exists()
    assert "built on NVIDIA L4 (compute capability 8.9), and this is NVIDIA T4" in how and "make install-tensorrt" in how


def test_a_server_that_moves_to_another_gpu_leaves_its_plan_behind(driver, bundle, tmp_path, settings):
    """The lease of a preempted revision comes back on another GPU."""
    home, *_ = fitted(bundle, tmp_path, settings)
    driver.gpus.append(Gpu(uuid="GPU-2", name="NVIDIA T4", capability=(7, 5)))
    _, config, _ = fitted(bundle, tmp_path, settings, environment=LEASE | {"CUDA_VISIBLE_DEVICES": "GPU-2"}, build=False, home=home)
    assert 'backend: "onnxruntime"' in config and not (home / "model.plan").exists()
    _, config, _ = fitted(bundle, tmp_path, settings, build=False, home=home)
    assert "tensorrt_plan" in config and (home / "model.plan").exists()


def test_a_plan_that_was_changed_on_disk_is_never_loaded(driver, bundle, tmp_path, settings):
    home = laid_out(bundle, tmp_path)
    (home / "gpu" / "model.plan").write_bytes(b"spoilt")
    _, config, how = fitted(bundle, tmp_path, settings, build=False, home=home)
    assert 'backend: "onnxruntime"' in config and "not the one that was built" in how


@pytest.mark.integration
def test_a_deployment_on_another_gpu_builds_the_plan_anew(driver, bundle, tmp_path, settings):
    """By the runtime's own Python, which here has the stand-in for TensorRT and the trainer's onnx."""
    driver.gpus[0].name, driver.gpus[0].capability = "NVIDIA H100 80GB HBM3", (9, 0)
    python = settings.python("tensorrt")
    python.parent.mkdir(parents=True)
    pretend = f"STANDIN_GPU='NVIDIA H100 80GB HBM3|9.0' PYTHONPATH={REPO}:{REPO}/tests/include/tensorrt/standin"
    python.write_text(f'#!/bin/sh\n{pretend} exec {Settings.load().python("trainer")} "$@"\n')
    python.chmod(0o755)
    onnx = bundle / "tensorrt" / "model.onnx"
    subprocess.run([str(Settings.load().python("trainer")), "-c", SUM, str(onnx)], check=True)
    old = Sheet.read(bundle / "tensorrt" / "plan.json")
    replace(old, onnx_sha256=sha256(onnx)).save(bundle / "tensorrt" / "plan.json")
    home, config, how = fitted(bundle, tmp_path, settings)
    assert "tensorrt_plan" in config, how
    sheet = Sheet.read(home / "gpu" / "plan.json")
    assert sheet.key == Key(Visible("NVIDIA H100 80GB HBM3", (9, 0)), "11.4.0") and sheet.batches == old.batches
    assert (home / "model.plan").read_bytes() != b"plan" and list((settings.home / "tensorrt").glob("sm90-*.timing"))


def test_a_wrapper_or_no_lease_leaves_no_choice(bundle, tmp_path):
    (bundle / "code").mkdir()
    (bundle / "code" / "wrap.py").write_text("class Wrap: ...")
    for number, serve in enumerate((TritonServe(), SERVE.model_copy(update={"wrapper": "wrap:Wrap"}))):
        home = laid_out(bundle, tmp_path / str(number), serve)
        assert not (home / "gpu").exists() and triton_gpu.served(home) == ""


def test_the_digest_of_a_bundle_is_of_its_plan_too(bundle):
    before = Bundle.read(bundle).digest()
    (bundle / "tensorrt" / "model.plan").write_bytes(b"another")
    assert Bundle.read(bundle).digest() != before


def test_a_bundle_that_lacks_its_plan_is_refused_by_file(bundle):
    (bundle / "tensorrt" / "model.plan").unlink()
    with pytest.raises(InputError, match=r"tensorrt/model\.plan: is missing"):
        Bundle.read(bundle)


def test_a_servers_backends_and_its_tensorrt_are_told_by_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(triton_gpu, "PLACES", (str(tmp_path / "usual"),))
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    for backend in ("python", "tensorrt"):
        (tmp_path / "server" / "backends" / backend).mkdir(parents=True)
    assert TritonServer.at(tmp_path / "server") == TritonServer(frozenset({"python", "tensorrt"}), "")
    (tmp_path / "usual").mkdir()
    for name in ("libnvinfer.so.11", "libnvinfer_plugin.so.11.9.9", "libnvinfer.so.11.4.0"):
        (tmp_path / "usual" / name).touch()
    assert TritonServer.at(tmp_path / "server").tensorrt == "11.4.0"


def test_another_server_is_named_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UPDRAFT_TRITON", str(tmp_path))
    with pytest.raises(ComponentError, match="UPDRAFT_TRITON: there is no bin/tritonserver"):
        find_runtime(Settings.load().python("triton"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tritonserver").touch()
    runtime = find_runtime(Settings.load().python("triton"))
    assert runtime.server == tmp_path / "bin" / "tritonserver" and runtime.environment()["PATH"].startswith("/usr/local/bin:")


@pytest.mark.integration
@pytest.mark.parametrize("backend", [ONNX, TENSORRT])
def test_the_real_server_reads_the_configuration_and_misses_the_backend_only(tmp_path, backend):
    runtime = find_runtime(Settings.load().python("triton"))
    (tmp_path / "thing" / "1").mkdir(parents=True)
    for name in ("model.onnx", "model.plan"):
        (tmp_path / "thing" / "1" / name).write_bytes(b"any")
    config = render_config("thing", SIGNATURE, SERVE, backend, 2 if backend == TENSORRT else 0)
    (tmp_path / "thing" / "config.pbtxt").write_text(config)
    command = [str(runtime.server), f"--model-repository={tmp_path}", f"--backend-directory={runtime.backends}"]
    command += ["--model-control-mode=explicit", "--load-model=thing", "--disable-auto-complete-config"]
    command += [f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")]
    command += [f"--{kind}-port={free_port()}" for kind in ("http", "grpc", "metrics")]
    done = subprocess.run(command, env=os.environ | runtime.environment(), capture_output=True, text=True, timeout=120, check=False)
    assert f"unable to find backend library for backend '{backend}'" in done.stdout + done.stderr


@pytest.mark.integration
def test_a_server_whose_gpu_is_simulated_answers_as_on_any_machine(stage):
    lease = RevisionLease("revision/simulated/1", {}, "1", 1, "1", LEASE | {"CUDA_VISIBLE_DEVICES": "declared/here/gpu-0"})
    revision = stage.backend.start(stage.bundles / "good", "simulated", "1", SERVE, {}, lease)
    try:
        assert "backend python: there is no NVIDIA GPU in the server's lease" in stage.backend.served(revision)
        answer = httpx.post(
            f"{revision.url}/v2/models/simulated/infer", json=stage.golden_request(2), headers=stage.key(revision), timeout=30
        )
        assert answer.status_code == 200
        assert {one["name"]: one["shape"][0] for one in answer.json()["outputs"]} == {"label": 2, "probabilities": 2}
    finally:
        stage.backend.stop(revision)


def test_a_laid_out_repository_does_not_need_the_bundle(driver, bundle, tmp_path, settings):
    home = laid_out(bundle, tmp_path)
    shutil.rmtree(bundle)
    assert "tensorrt_plan" in fitted(bundle, tmp_path, settings, home=home)[1]
