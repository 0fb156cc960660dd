"""What `make status` finds out, and whom it asks."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from include.platform.__main__ import where_to_look
from include.runtime import family
from include.runtime.credentials import Credentials
from include.runtime.settings import REPO, Settings
from include.runtime.supervisor import Program, State, Supervisor
from tests.waiting import until


def status(settings: Settings, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = os.environ | {"UPDRAFT_HOME": str(settings.home), "UPDRAFT_PORT_BASE": str(settings.port_base)} | environment
    command = [sys.executable, "-m", "include.platform", "status", *arguments]
    return subprocess.run(command, env=known, cwd=REPO, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def sleeping(settings: Settings, supervisor: Supervisor) -> Settings:
    """A platform of one program that only sleeps, and its credentials."""
    Credentials.load_or_create(settings.home)
    supervisor.start_program(Program("sleeper", ("/bin/sleep", "600"), settings.home, settings.logs / "sleeper.log"))
    until(lambda: supervisor.state("sleeper") is State.RUNNING)
    return settings


def test_no_login_and_no_key_goes_to_another_who_listens_on_a_port_of_the_platform(sleeping: Settings) -> None:
    ports = {"gateway": sleeping.gateway_port, "mlflow": sleeping.mlflow_port, "airflow": sleeping.airflow_port}
    others = {name: socket.create_server(("127.0.0.1", port)) for name, port in ports.items()}
    try:
        done = status(sleeping)
        assert done.returncode == 1
        for name, other in others.items():
            assert (
                f"{name} does not answer: process {os.getpid()}, which is none of this platform's, listens on its port {ports[name]}"
                in done.stdout
            )
            other.setblocking(False)
            with pytest.raises(BlockingIOError):  # nobody has come
                other.accept()
    finally:
        for other in others.values():
            other.close()


def test_no_password_is_shown_unless_it_is_asked_for(sleeping: Settings) -> None:
    credentials = Credentials.load(sleeping.home)
    known = (credentials.airflow_passwords["admin"], credentials.mlflow_password, credentials.api_keys["demo"])
    hidden, shown = status(sleeping).stdout, status(sleeping, "--show").stdout
    assert not [secret for secret in known if secret in hidden] and "SHOW=1" in hidden
    assert all(secret in shown for secret in known)
    assert not [secret for secret in known if secret in where_to_look(sleeping, credentials)]


def test_a_supervisord_that_has_died_is_told_from_a_platform_that_is_down(fresh: Settings) -> None:
    from include.platform import supervisord

    supervisord.start(fresh)
    supervisor = Supervisor(fresh)
    Credentials.load_or_create(fresh.home)
    supervisor.start_program(Program("sleeper", ("/bin/sleep", "600"), fresh.home, fresh.logs / "sleeper.log"))
    until(lambda: supervisor.state("sleeper") is State.RUNNING)
    process = supervisor.process_id()
    os.kill(process, signal.SIGKILL)
    until(lambda: process not in family.family(str(fresh.home)))
    done = status(fresh)
    assert done.returncode == 1
    assert "supervisord has died: 1 processes of the platform go on" in done.stdout and "make up" in done.stdout
    assert "is down" not in done.stdout


def test_a_later_call_without_variables_finds_the_platform_that_runs(sleeping: Settings, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("UPDRAFT_POINTER", str(tmp_path / "running"))
    for name in ("UPDRAFT_HOME", "UPDRAFT_PORT_BASE"):
        monkeypatch.delenv(name, raising=False)
    sleeping.remember()
    found = Settings.load()
    assert (found.home, found.port_base) == (sleeping.home, sleeping.port_base)
    monkeypatch.setenv("UPDRAFT_PORT_BASE", "18000")
    assert Settings.load().port_base == 18000
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    assert Settings.load().home == tmp_path


def test_a_platform_that_was_stopped_is_no_longer_looked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("UPDRAFT_POINTER", str(tmp_path / "running"))
    for name in ("UPDRAFT_HOME", "UPDRAFT_PORT_BASE"):
        monkeypatch.delenv(name, raising=False)
    replace(Settings.load(), home=tmp_path / "elsewhere", port_base=18000).remember()
    assert Settings.load().home == REPO / ".updraft"
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path / "elsewhere"))
    assert Settings.load().port_base == 18000, "its ports stay its own"
