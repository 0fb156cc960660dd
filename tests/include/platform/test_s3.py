"""The real SeaweedFS under what MLflow and DVC do to it, and what a stranger gets."""

import hashlib
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from include.backup.bucket import Bucket
from include.backup.manifest import File, Manifest
from include.backup.store import Store
from include.errors import InputError, UpdraftError
from include.platform import s3
from include.platform.compose import write_s3_files
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from include.serving.host import networks

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
BIG = 20 * 1024 * 1024
"""Bytes: boto3 sends these in several parts."""


@pytest.fixture(scope="module")
def server(shared: Settings) -> Iterator[Settings]:
    """As `make up` has it."""
    if not s3.weed(shared).exists():
        pytest.skip("runtime airflow has no SeaweedFS: make install")
    if not networks():
        pytest.skip("the kernel gives servers no network of their own here")
    credentials = Credentials.load_or_create(shared.home)
    write_s3_files(shared, credentials)
    Supervisor(shared).start_program(s3.held(shared, credentials))
    before = {name: os.environ.get(name) for name in shared.s3_environment}
    os.environ.update(shared.s3_environment)
    try:
        for bucket in s3.buckets(shared):
            s3.make_bucket(bucket)
        yield shared
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        Supervisor(shared).stop_program(s3.NAME)


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


def test_its_secrets_are_its_owners_alone(server: Settings) -> None:
    for name in ("identities.json", "security.toml"):
        assert (server.s3 / "server" / name).stat().st_mode & 0o077 == 0


def test_of_its_parts_none_is_in_the_machines_network(server: Settings) -> None:
    """Its master knows no login. The port after S3's own is the master's, and so on."""
    process = Supervisor(server).info(s3.NAME)[1]
    lines = Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]
    inner = {int(line.split()[1].partition(":")[2], 16) for line in lines if line.split()[3] == "0A"}
    assert {server.s3_port, server.s3_port + 1} <= inner, "it listens in its own network"
    for port in range(server.s3_port + 1, server.s3_port + 10):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, port), timeout=5)


def test_a_platform_that_has_state_in_folders_is_not_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, credentials = replace(Settings.load(), home=tmp_path), Credentials()
    assert not s3.choose(settings, credentials)
    monkeypatch.setenv(s3.VARIABLE, "1")
    monkeypatch.setenv("UPDRAFT_DVC_REMOTE", "s3://elsewhere")
    with pytest.raises(InputError, match="UPDRAFT_DVC_REMOTE names another store"):
        s3.choose(settings, credentials)
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").touch()
    with pytest.raises(InputError, match=r"lies in folders.*make clean"):
        s3.choose(settings, credentials)
    assert not settings.own_s3 and settings.artifacts == str(tmp_path / "mlflow" / "artifacts")


def test_backups_are_kept_and_given_up_in_a_bucket(server: Settings, tmp_path: Path) -> None:
    store = Store(Bucket("s3://mlflow/of/backups"))
    with pytest.raises(InputError, match="holds no backups"):
        store.insist()
    store.begin()
    content = random.Random(3).randbytes(BIG)
    (tmp_path / "large").write_bytes(content)
    digest, size = store.keep(tmp_path / "large")
    assert store.keep(tmp_path / "large") == (digest, size) == (hashlib.sha256(content).hexdigest(), BIG)
    store.fetch(digest, size, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == content
    with pytest.raises(InputError, match="is missing"):
        store.fetch("0" * 64, 1, tmp_path / "none")
    made = Manifest(
        "20261201T060000Z-0a1b2c", "2026-12-01T06:00:00+00:00", "0.1.0", "embedded", 8000, files=(File("home/a", digest, size),)
    )
    assert store.manifest(made.name) is None
    store.finish(made)
    store.note(made.name, {"proof": None})
    assert store.names() == [made.name] and store.manifest(made.name) == made
    assert store.sweep(0) == 0
    store.drop(made.name)
    assert store.names() == [] and store.sweep(3600) == 0 and store.sweep(0) == BIG


def test_a_bucket_that_is_not_there_is_named(server: Settings) -> None:
    with pytest.raises(UpdraftError, match=r"s3://nowhere.*Is there such a bucket"):
        Store(Bucket("s3://nowhere/x")).begin()
