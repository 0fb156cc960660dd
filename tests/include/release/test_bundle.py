"""A bundle on its way to the registry and back: nothing twice, nothing whole in memory, nothing that was not registered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.bundles import manifest
from include.errors import ComponentError
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles
from include.runtime.settings import REPO
from include.spec.schema import ModelSpec
from tests.plugins.lifecycle.ui.conftest import mlflow_url

__all__ = ["mlflow_url"]
LARGE = 192 << 20
"""Bytes of a model that a client which holds it in memory can't hide."""


@pytest.fixture
def client(mlflow_url: str) -> Mlflow:
    return Mlflow(mlflow_url)


@pytest.fixture
def run(client: Mlflow, tmp_path: Path) -> str:
    return client.ensure_run("updraft/thing", f"thing_lifecycle/{tmp_path.name}", "run")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "code").mkdir(parents=True)
    files = {"model.onnx": "m" * 1000, "serve.json": "{}", "code/wrapper.py": "", ".hidden": "x"}
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def version(client: Mlflow, run: str) -> int:
    source = f"{client.run(run)['info']['artifact_uri']}/bundle"
    return client.ensure_version("thing", run_id=run, source=source, run_key=run, tags={})


def test_a_pipe_in_the_models_folder_is_left_out(bundle: Path, tmp_path: Path):
    model = tmp_path / "model"
    (model / "lib").mkdir(parents=True)
    for name in ("wrapper.py", "lib/more.py", "data.csv", ".secret"):
        (model / name).write_text("x = 1")
    os.mkfifo(model / "lib" / "pipe")
    (model / "gone").symlink_to(model / "nothing")
    serve = ModelSpec.model_validate(
        {"name": "m", "task": "regression", "data": {"source": "a:b", "target": "y"}, "serve": {"wrapper": "wrapper:Wrapper"}}
    ).serve
    bundles.complete(bundle, model, serve, {})
    kept = {path.relative_to(bundle / "code").as_posix() for path in (bundle / "code").rglob("*") if path.is_file()}
    assert kept == {"wrapper.py", "lib/more.py"}


def test_what_is_there_is_not_sent_again(client: Mlflow, run: str, bundle: Path):
    assert bundles.store(client, run, bundle) == 1002
    assert bundles.store(client, run, bundle) == 0
    (bundle / "serve.json").write_text('{"a": 1}')
    assert bundles.store(client, run, bundle) == 8


def test_what_a_killed_upload_has_left_is_made_whole(client: Mlflow, run: str, bundle: Path):
    """Its size or the manifest gives it away; the manifest of an upload comes last."""
    bundles.store(client, run, bundle)
    client.write(run, "bundle/model.onnx", b"half")
    assert bundles.store(client, run, bundle) == 1000
    client.write(run, "bundle/manifest.json", b'{"mod')
    assert bundles.store(client, run, bundle) == 1002


def test_a_bundle_comes_back_as_it_was_registered_or_not_at_all(client: Mlflow, run: str, bundle: Path, tmp_path: Path):
    bundles.store(client, run, bundle)
    number = version(client, run)
    folder = bundles.fetch(client, "thing", number, tmp_path / "here")
    assert manifest.describe(folder) == manifest.describe(bundle)
    client.write(run, "bundle/model.onnx", b"n" * 1000)
    with pytest.raises(ComponentError, match=r"model\.onnx: not what was registered"):
        bundles.fetch(client, "thing", number, tmp_path / "there")
    assert not (tmp_path / "there" / "thing" / str(number)).exists()


def test_a_bundle_of_this_machine_is_linked_and_not_fetched(client: Mlflow, run: str, bundle: Path, tmp_path: Path):
    manifest.write(bundle)
    kept = bundles.keep(bundle, "thing", 7, tmp_path / "here")
    assert bundles.keep(bundle, "thing", 7, tmp_path / "here") == kept
    assert bundles.fetch(client, "thing", 7, tmp_path / "here") == kept  # MLflow knows no version 7
    assert (kept / "model.onnx").stat().st_ino == (bundle / "model.onnx").stat().st_ino
    assert not (kept / ".hidden").exists()


PROGRAM = """
import resource, sys
from pathlib import Path
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles
url, run, folder, number, target = sys.argv[1:]
client = Mlflow(url)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bundles.store(client, run, Path(folder))
bundles.fetch(client, "thing", int(number), Path(target))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_large_model_is_never_whole_in_memory(client: Mlflow, run: str, bundle: Path, tmp_path: Path):
    with (bundle / "model.onnx").open("wb") as file:
        file.truncate(LARGE)
    command = [sys.executable, "-c", PROGRAM, client.url, run, str(bundle), str(version(client, run)), str(tmp_path / "here")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(REPO)}, cwd=REPO, capture_output=True, text=True, check=True)
    assert int(done.stdout) < (LARGE >> 20) / 4, f"{done.stdout.strip()} MiB more"
