"""The real SeaweedFS under what MLflow and DVC do to it, and what a stranger gets."""

import hashlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from include.platform import s3
from include.platform.s3 import make_bucket
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
BIG = 20 * 1024 * 1024
"""Bytes: boto3 sends these in several parts."""


@pytest.fixture(scope="module")
def server(shared: Settings) -> Iterator[Settings]:
    binary = s3.weed(shared)
    found = str(binary) if binary.exists() else shutil.which("weed")
    if not found:
        pytest.skip("runtime airflow has no SeaweedFS: make install")
    folder, credentials = shared.home / "s3", Credentials.load_or_create(shared.home)
    program = s3.program(shared, credentials, folder)
    config, keys = shared.home / "aws", shared.home / "aws-keys"
    url = f"http://{shared.host}:{shared.s3_port}"
    config.write_text(f"[default]\nregion = us-east-1\nendpoint_url = {url}\n")
    keys.write_text(f"[default]\naws_access_key_id = {s3.S3_KEY}\naws_secret_access_key = {credentials.s3_password}\n")
    with (shared.home / "weed.log").open("w") as log:
        process = subprocess.Popen([found, *program.command[1:]], cwd=folder, stdout=log, stderr=log)
    names = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(keys)}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        deadline = time.monotonic() + 120
        while not answers(url):
            assert process.poll() is None and time.monotonic() < deadline, (shared.home / "weed.log").read_text()[-2000:]
            time.sleep(0.2)
        for bucket in ("mlflow", "dvc"):
            make_bucket(bucket)
        yield shared
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 403
    except httpx.HTTPError:
        return False


def test_mlflows_artifacts_come_back_byte_by_byte(server: Settings, tmp_path: Path) -> None:
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    files = {"small.json": b'{"a": 1}', "deep/empty": b"", "deep/model.bin": random.Random(1).randbytes(BIG)}
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    store = S3ArtifactRepository("s3://mlflow/1/run/artifacts")
    store.log_artifacts(str(tmp_path / "in"))
    found = Path(store.download_artifacts("", dst_path=str(tmp_path)))
    assert {name: (found / name).read_bytes() == content for name, content in files.items()} == dict.fromkeys(files, True)
    assert [info.path for info in store.list_artifacts("deep")] == ["deep/empty", "deep/model.bin"]
    store.delete_artifacts("deep")
    assert store.list_artifacts("deep") == []


def test_dvcs_snapshots_come_back_byte_by_byte(server: Settings, tmp_path: Path) -> None:
    from dvc_s3 import S3FileSystem

    content = random.Random(2).randbytes(BIG)
    (tmp_path / "data").write_bytes(content)
    files, key = S3FileSystem(), f"dvc/files/md5/{hashlib.md5(content).hexdigest()}"
    files.put_file(str(tmp_path / "data"), key)
    assert files.exists(key) and files.info(key)["size"] == BIG
    files.get_file(key, str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == content


def test_without_the_key_nothing_is_read_or_written(server: Settings) -> None:
    url = f"http://{server.host}:{server.s3_port}"
    for method, path in (("GET", "/"), ("GET", "/mlflow"), ("PUT", "/mlflow/x"), ("DELETE", "/mlflow"), ("PUT", "/another")):
        assert httpx.request(method, url + path, timeout=10).status_code == 403
    filer = f"http://{server.host}:{server.s3_port + 3}"
    assert {httpx.get(filer + path, timeout=10).status_code for path in ("/", "/buckets/", "/buckets/mlflow/")} == {401}


def test_its_secrets_are_its_owners_alone(server: Settings) -> None:
    for name in ("identities.json", "security.toml"):
        assert (server.home / "s3" / name).stat().st_mode & 0o077 == 0
