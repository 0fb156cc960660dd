"""Which target a run's steps get, and the Docker engine by Airflow's connection."""

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.errors import ComponentError, InputError
from include.kinds.load import load
from include.platform import airflow
from include.runtime.settings import Settings
from include.targets import images
from include.targets.docker import DockerTarget
from include.targets.process import ProcessTarget
from lifecycle.targets import target_of
from tests.include.targets.engine import engine, tls_door

DIGITS = Path("include/models/digits/model.yaml")


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv("UPDRAFT_TARGET", raising=False)


@pytest.fixture
def connection(monkeypatch):
    """Sets the connection ``updraft_docker``."""

    def connection(**fields: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_UPDRAFT_DOCKER", json.dumps({"conn_type": "docker", **fields}))

    return connection


def run(tmp_path: Path, target: str | None = None) -> Any:
    """Of a spec that names ``target``."""
    settings = replace(Settings.load(), home=tmp_path)
    return SimpleNamespace(settings=settings, spec=load(DIGITS).model_copy(update={"target": target}))


def test_a_spec_that_names_no_target_runs_on_this_machine(tmp_path):
    assert load(DIGITS).target is None
    assert isinstance(target_of(run(tmp_path)), ProcessTarget)


def test_the_environment_names_the_target_of_specs_that_name_none(tmp_path, monkeypatch):
    engine()
    monkeypatch.setenv("UPDRAFT_TARGET", "docker")
    assert isinstance(target_of(run(tmp_path)), DockerTarget)
    assert isinstance(target_of(run(tmp_path, "process")), ProcessTarget)


def test_an_unknown_target_in_the_environment_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("UPDRAFT_TARGET", "dokcer")
    with pytest.raises(InputError, match="dokcer"):
        target_of(run(tmp_path))


def test_airflow_s_programs_know_target_and_engine(monkeypatch):
    monkeypatch.setenv("UPDRAFT_TARGET", "docker")
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    found = airflow.environment(Settings.load())
    assert found["UPDRAFT_TARGET"] == "docker" and found["DOCKER_HOST"] == "tcp://elsewhere:2375"


def test_an_engine_that_does_not_answer_is_named_and_may_come_back(tmp_path, connection):
    connection(extra={"engine": f"unix://{tmp_path}/no.sock"})
    with pytest.raises(ComponentError, match=r"no\.sock") as told:
        target_of(run(tmp_path, "docker"))
    assert "updraft_docker" in told.value.remedy


@pytest.mark.parametrize(
    ("extra", "names"),
    [
        ({"engine": "tcp://127.0.0.1:1", "ca_cert": "ca.pem"}, "client_cert, client_key"),
        ({"engine": "tcp://127.0.0.1:1", "ca_cert": "no.pem", "client_cert": "no.pem", "client_key": "no.pem"}, "no.pem|TLS"),
        ({"engine": "nonsense://x"}, "nonsense"),
    ],
)
def test_a_connection_that_can_t_be_used_says_why(tmp_path, connection, extra, names):
    connection(extra=extra)
    with pytest.raises((InputError, ComponentError), match=names):
        target_of(run(tmp_path, "docker"))


def test_a_wrong_mount_in_the_connection_is_refused(tmp_path, connection):
    engine()
    connection(extra={"mounts": "data"})
    with pytest.raises(InputError, match="mounts"):
        target_of(run(tmp_path, "docker"))


@pytest.mark.integration
def test_an_engine_behind_tls_takes_only_who_has_its_certificate(tmp_path, connection, monkeypatch):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # Airflow's programs have none: requests would believe it, not the connection
        monkeypatch.delenv(variable, raising=False)
    engine()
    (tmp_path / "new.lock").write_text(f"more=={time.time()}\n")
    monkeypatch.setitem(images.RUNTIMES, "quantise", tmp_path / "new.lock")
    door, files = tls_door(tmp_path)
    connection(extra={"engine": door.url, **files})
    with pytest.raises(InputError, match="make images"):  # it has answered: it has no such image
        target_of(run(tmp_path, "docker")).identity("quantise")
    connection(extra={"engine": door.url})
    with pytest.raises(ComponentError):
        target_of(run(tmp_path, "docker"))
    door.close()
