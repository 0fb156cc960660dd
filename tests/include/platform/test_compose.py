"""What is laid out for docker/compose.yaml, and that the file asks for nothing else. That the services run is seen with an engine."""

import json
import re
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from include.errors import InputError
from include.platform import compose, healthy, s3, service
from include.runtime.credentials import Credentials
from include.runtime.settings import REPO, Settings
from tests import manifests

TEXT = compose.FILE.read_text()
FILE = yaml.safe_load(TEXT)


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(compose, "NOT_ROOT", (0, 0))  # else a test that root runs would give its folder away
    return tmp_path / "state"


def settings_of(state, monkeypatch) -> Settings:
    monkeypatch.setenv("UPDRAFT_HOME", str(state / "home"))
    return Settings.load()


def environment(path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_all_that_the_file_asks_for_by_name_is_given_or_has_a_default(state):
    given = environment(compose.lay_out(state))
    asked = set(re.findall(r"\$\{(\w+)(?::\?[^}]*)?\}", TEXT))
    assert asked <= set(given)
    assert {name for name in given if name not in asked} == {"COMPOSE_PROJECT_NAME"}


def test_every_secret_file_is_laid_out_for_its_owner_alone_and_none_is_in_the_environment(state):
    env = compose.lay_out(state)
    for secret in FILE["secrets"].values():
        path = state / secret["file"].removeprefix("${UPDRAFT_STATE}/")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.read_text()
    credentials = Credentials.load(state / "home")
    for value in (*credentials.database_passwords.values(), credentials.s3_password, credentials.redis_password):
        assert value not in env.read_text() and value not in TEXT
    assert (state / "secrets" / "postgres_password").read_text() == credentials.database_passwords["postgres"]


def test_laid_out_again_it_keeps_every_secret(state):
    compose.lay_out(state)
    before = {path: path.read_text() for path in (state / "secrets").iterdir()}
    compose.lay_out(state)
    assert {path: path.read_text() for path in (state / "secrets").iterdir()} == before


def test_a_path_that_docker_cannot_mount_is_refused_and_nothing_is_made(tmp_path):
    with pytest.raises(InputError, match="can't mount"):
        compose.lay_out(tmp_path / "a:b")
    assert not list(tmp_path.iterdir())


def test_it_needs_nothing_but_python(tmp_path):
    command = [sys.executable, "-S", "-I", "-c", f"import sys; sys.path.insert(0, {str(REPO)!r}); import include.platform.compose"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def test_each_program_of_the_platform_is_a_service_or_kept_by_one(state, monkeypatch):
    compose.lay_out(state)
    settings = settings_of(state, monkeypatch)
    (settings.home / "airflow").mkdir()
    (settings.home / "airflow" / "airflow.cfg").touch()
    commands = [one["command"] for one in FILE["services"].values()]
    assert {command[-1] for command in commands if "run" in command} == set(service.programs(settings))
    assert ["python", "-m", "include.platform.service", "keep"] in commands
    assert {program.name for program in service.keepers(settings)} == set(healthy.KEEPERS)


def test_each_service_that_runs_a_program_is_asked_for_its_health_by_a_name_that_is_known():
    for name, one in FILE["services"].items():
        if "run" in one.get("command", ()):
            assert one["healthcheck"]["test"][-2:] == ["include.platform.healthy", one["command"][-1]], name


def test_an_unknown_program_is_refused_by_name(state, monkeypatch):
    compose.lay_out(state)
    settings = settings_of(state, monkeypatch)
    (settings.home / "airflow").mkdir()
    (settings.home / "airflow" / "airflow.cfg").touch()
    with pytest.raises(InputError, match=r"'shell' is no service.*celery-worker-1"):
        service.run(settings, "shell")
    with pytest.raises(InputError, match=r"'shell' is no service.*envoy"):
        healthy.healthy(settings, "shell")


def test_a_service_that_gives_no_answer_is_not_well(state, monkeypatch, capsys):
    settings_of(state, monkeypatch)
    monkeypatch.setenv("UPDRAFT_PORT_BASE", "26890")
    assert healthy.main(["mlflow"]) == 1
    assert "mlflow: " in capsys.readouterr().err


def test_only_s3_needs_buckets(state, tmp_path, monkeypatch):
    compose.lay_out(state)
    settings = settings_of(state, monkeypatch)
    assert s3.buckets(settings) == ["mlflow", "dvc", "predictions"]
    assert s3.buckets(replace(settings, home=tmp_path)) == []
    monkeypatch.setenv("UPDRAFT_ARTIFACTS", "s3://artifacts/below")
    assert s3.buckets(replace(settings, home=tmp_path)) == ["artifacts"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"read_only": False}, "read_only"),
        ({"cap_drop": []}, "cap_drop"),
        ({"user": "0:0"}, "root"),
        ({"ports": ["8080:8080"]}, "other machines"),
        ({"privileged": True}, "privileged"),
        ({"image": "${REDIS_IMAGE:-redis:latest}"}, "not pinned"),
    ],
)
def test_lint_finds_a_service_that_breaks_the_files_promise(change, said):
    good = FILE["services"]["redis"]
    assert manifests._service(good) == []
    assert said in " ".join(manifests._service(json.loads(json.dumps(good)) | change))


def test_lint_finds_what_compose_would_not_take(tmp_path, monkeypatch):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text("services: {one: {image: 'a:1', comand: [x]}}")
    monkeypatch.setattr(manifests, "COMPOSE", [wrong])
    assert "comand" in manifests.compose()[0]
