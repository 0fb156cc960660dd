"""The images' names, their Dockerfiles, what may get into them, and how they are built."""

import re
import shutil
import subprocess

import pytest

from include.runtime.install import CUDA, ON_GPUS, RUNTIMES
from include.runtime.layers import layered
from include.runtime.settings import REPO
from include.targets import images
from tests.include.targets.engine import engine, with_image

FILES = {runtime: REPO / "docker" / runtime / "Dockerfile" for runtime in images.IMAGES}


def build_stage(runtime: str) -> str:
    text = FILES[runtime].read_text()
    return text[text.index("FROM ") : text.index("LABEL ")].replace(runtime, "RUNTIME")


@pytest.mark.parametrize("runtime", images.IMAGES)
def test_every_runtime_is_installed_from_its_lock_by_the_same_command(runtime):
    stage = build_stage(runtime)
    assert f"COPY {RUNTIMES[runtime].relative_to(REPO)} ".replace(runtime, "RUNTIME") in stage
    assert (f"COPY {CUDA.relative_to(REPO)} " in stage) == (runtime in ON_GPUS)
    common = [line for line in build_stage("trainer").splitlines() if "requirements.lock" not in line]
    own = ("requirements.lock", "provider.py", CUDA.name)
    assert [line for line in stage.splitlines() if not any(name in line for name in own)] == common


@pytest.mark.parametrize("runtime", images.IMAGES)
def test_nobody_is_root_and_code_comes_after_requirements(runtime):
    last = FILES[runtime].read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 1000:1000$", last, re.MULTILINE)
    environment, code = last.index("COPY --from=build"), last.find("COPY include")
    assert environment < code or (code < 0 and runtime == "labels")  # Label Studio has nothing of ours
    assert ("HEALTHCHECK" in last) == ("EXPOSE" in last)


def test_airflow_has_every_lock_to_name_steps_images_and_layers_by():
    last = FILES["airflow"].read_text().rpartition("\nFROM ")[2]
    assert "\nCOPY docker /opt/updraft/docker\n" in last
    let_in = (REPO / ".dockerignore").read_text().splitlines()
    assert "!docker/*/requirements.lock" in let_in and "!docker" not in let_in


@pytest.mark.parametrize("runtime", images.IMAGES)
def test_where_packages_come_from_may_be_told_to_the_build(runtime):
    assert set(re.findall(r"^ARG (\w+)$", FILES[runtime].read_text(), re.MULTILINE)) == set(images.PASSED_ON)


def test_a_changed_lock_is_another_image(monkeypatch, tmp_path):
    before = images.name("trainer")
    lock = tmp_path / "requirements.lock"
    lock.write_bytes(RUNTIMES["trainer"].read_bytes() + b"more==1\n")
    monkeypatch.setitem(RUNTIMES, "trainer", lock)
    assert images.name("trainer") != before


def test_a_models_own_packages_are_a_layer_named_behind_the_lock(tmp_path):
    (tmp_path / "requirements.txt").write_text("humanize==4.9.0\n")
    layer = layered("trainer", tmp_path)
    assert images.name(layer) == f"{images.name('trainer')}-{layer.partition('+')[2]}"
    command = images.layer_command(layer, tmp_path)
    assert command[-1] == str(tmp_path) and f"BASE={images.name('trainer')}" in command and images.name(layer) in command
    text = (REPO / "docker" / "layer" / "Dockerfile").read_text()
    assert "include.runtime.layers" in text and text.rstrip().endswith("USER 1000:1000")


def test_an_image_of_a_registry_is_named_by_it():
    assert images.name("llm", "registry.example.org:5000/team/") == f"registry.example.org:5000/team/{images.name('llm')}"


def test_the_build_is_told_base_network_and_index(monkeypatch):
    for variable in images.PASSED_ON:
        monkeypatch.delenv(variable, raising=False)
    plain = images.command("trainer")
    assert "--build-arg" not in plain and "--network" not in plain and plain[-1] == str(REPO)
    monkeypatch.setenv("UV_INDEX", "https://user:secret@packages.example.org")
    told = " ".join(images.command("trainer", "mine:1", "host"))
    assert "--build-arg BASE=mine:1" in told and "--network host" in told
    assert "--build-arg UV_INDEX" in told and "secret" not in told  # Docker reads it from the environment: other users see command lines


def test_an_unknown_runtime_is_refused_before_anything_is_built(capsys):
    assert images.main(["trainer", "trianer"]) == 1
    assert "trianer" in capsys.readouterr().err


def test_without_docker_s_command_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert images.main(["trainer"]) == 1
    assert "docker.io" in capsys.readouterr().err


@pytest.mark.integration
def test_an_image_holds_the_runtime_and_the_code_and_neither_state_nor_weights():
    client = with_image(engine(), "trainer")
    look = (
        "import os, sys, mlflow, sklearn, include.kinds.table.steps.train\n"
        "files = [os.path.join(at, f) for at, _, found in os.walk('/opt/updraft') for f in found if '/runtimes/' not in at]\n"
        "code = ('.py', '.yaml', '.toml', '.json', '.css', '.js', '.html', '.j2')\n"
        "print(os.getuid(), sys.prefix, [f for f in files if not f.endswith(code)][:9])"
    )
    host = client.create_host_config(network_mode="none", read_only=True, cap_drop=["ALL"], tmpfs={"/tmp": "size=64m"})
    name = client.create_container(images.name("trainer"), ["python", "-c", look], host_config=host)["Id"]
    try:
        client.start(name)
        assert client.wait(name, timeout=200)["StatusCode"] == 0, client.logs(name).decode()
        assert client.logs(name).decode().split() == ["1000", "/opt/updraft/.updraft/runtimes/trainer", "[]"]
    finally:
        client.remove_container(name, force=True)


@pytest.mark.integration
def test_weights_beside_a_model_s_code_stay_outside(tmp_path):
    """What .dockerignore lets through, as the engine's own client reads it."""
    client = engine()
    if not shutil.which("docker"):
        pytest.skip("Docker's command-line client is not here")
    bases = [tag for image in client.images() for tag in image["RepoTags"] or [] if tag == images.name("trainer")]
    if not bases:
        pytest.skip("no image to build from: run `make images RUNTIMES=trainer`")
    model = tmp_path / "include" / "models" / "wine"
    model.mkdir(parents=True)
    shutil.copy(REPO / ".dockerignore", tmp_path)
    for name in ("train.py", "model.safetensors", "model.onnx", "data.csv", "chats.jsonl", "model.yaml"):
        (model / name).write_text("x")
    (tmp_path / ".updraft").mkdir()
    (tmp_path / ".updraft" / "credentials.json").write_text("{}")
    (model / "look.py").write_text("import os\nprint(sorted(name for _, _, names in os.walk('/all') for name in names))\n")
    (tmp_path / "Dockerfile").write_text(f'FROM {bases[0]}\nCOPY . /all\nRUN ["python", "/all/include/models/wine/look.py"]\n')
    command = ["docker", "build", "--no-cache", "--tag", "updraft-test-ignore", "--file", str(tmp_path / "Dockerfile"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    client.remove_image("updraft-test-ignore", force=True)
    assert "['look.py', 'model.yaml', 'train.py']" in done.stdout + done.stderr
