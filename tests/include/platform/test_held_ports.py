"""Nobody else listens where a program of the platform did, or will: real sockets, another user."""

from __future__ import annotations

import os
import signal
import socket
import sys

import pytest

from include.errors import ComponentError, InputError
from include.platform import supervisord
from include.runtime import held_ports
from include.runtime.held_ports import HeldPorts
from include.runtime.reuse_port import bound
from include.runtime.supervisor import Program, State, Supervisor
from include.runtime.whose import insist_own, owners
from tests import stranger
from tests.waiting import ended, until

pytestmark = pytest.mark.integration
SERVER = """
import sys
from include.runtime.reuse_port import bound
door = bound("127.0.0.1", int(sys.argv[1]))
door.listen()
print("listening", flush=True)
while True:
    peer, _ = door.accept()
    peer.sendall(b"ours")
    peer.close()
"""


def served(settings, port, name="server", **changes) -> Program:
    file = settings.home / "server.py"
    file.write_text(SERVER)
    options = {"directory": settings.home, "log": settings.home / f"{name}.log", "environment": {"PYTHONPATH": str(settings.repo)}}
    return Program(name, (sys.executable, str(file), str(port)), listens=(f"127.0.0.1:{port}",), **(options | changes))


def says(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        return peer.recv(10)


def answers(port: int) -> bool:
    try:
        return says(port) == b"ours"
    except OSError:
        return False


@stranger.needs_root
def test_the_port_of_a_crashed_program_is_nobody_elses_until_it_is_back(settings, supervisor):
    port = settings.mlflow_port
    assert stranger.tries(port), "the stranger can't listen anywhere: this test would show nothing"
    supervisor.start_program(served(settings, port))
    until(lambda: answers(port))
    process = supervisor.info("server")[1]
    with stranger.crowding(port):
        for _ in range(3):
            os.kill(process, signal.SIGKILL)
            until(lambda before=process: ended(before))
            until(lambda: answers(port))
            process = supervisor.info("server")[1]
    supervisor.signal("server", "STOP")
    os.kill(process, signal.SIGKILL)
    assert stranger.tries(port) == []


@stranger.needs_root
def test_a_program_that_does_not_come_up_keeps_its_port_too(settings, supervisor):
    port = settings.mlflow_port
    supervisor.start_program(served(settings, port, start_retries=0))
    until(lambda: answers(port))
    supervisor._call("stopProcess", "server", True)
    assert supervisor.state("server") is State.STOPPED and stranger.tries(port) == []
    with pytest.raises(OSError, match="refused"):
        says(port)


@stranger.needs_root
def test_a_changed_program_gives_its_port_to_its_successor_alone(settings, supervisor):
    port = settings.mlflow_port
    supervisor.start_program(served(settings, port))
    until(lambda: answers(port))
    with stranger.crowding(port):
        supervisor.start_program(served(settings, port, environment={"PYTHONPATH": str(settings.repo), "NEW": "1"}))
        until(lambda: answers(port))


@stranger.needs_root
def test_what_is_paused_keeps_its_port_and_what_is_stopped_does_not(settings, supervisor):
    port = settings.mlflow_port
    supervisor.start_program(served(settings, port))
    supervisor.stop_program("server", keep_ports=True)
    assert stranger.tries(port) == []
    supervisor.stop_program("server")
    assert stranger.tries(port) != []


@stranger.needs_root
def test_a_user_of_its_own_is_given_the_port_and_nobody_else(settings, supervisor):
    port, own = settings.mlflow_port, 50_001
    supervisor.hold("revision", [f"127.0.0.1:{port}"])
    assert supervisor._call("give", "revision", own, namespace="ports") == 1
    assert stranger.tries(port) == [] and stranger.tries(port, own) != []
    supervisor.release("revision")
    assert stranger.tries(port) != []


def test_a_port_that_somebody_has_is_named_and_nothing_is_started(settings, supervisor):
    with socket.create_server(("127.0.0.1", settings.mlflow_port)):
        with pytest.raises(ComponentError, match=rf"127\.0\.0\.1:{settings.mlflow_port} can't be held for server.*ss -ltnp"):
            supervisor.start_program(served(settings, settings.mlflow_port))
        assert supervisor.programs() == {}
        assert not list(settings.supervisor_programs.iterdir())


def test_a_new_supervisord_holds_what_the_last_one_held(fresh):
    supervisord.start(fresh)
    Supervisor(fresh).hold("revision-a-1", [f"127.0.0.1:{fresh.mlflow_port}"])
    Supervisor(fresh).shutdown()
    socket.create_server(("127.0.0.1", fresh.mlflow_port)).close()
    supervisord.start(fresh)
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", fresh.mlflow_port))


def test_held_ports_are_those_of_the_files(tmp_path, settings):
    said: list[str] = []
    held = HeldPorts(tmp_path, said.append)
    (tmp_path / f"a.{held_ports.FILE}").write_text(f'["127.0.0.1:{settings.mlflow_port}", "[::1]:{settings.mlflow_port}"]')
    assert held.refresh() == [] and held.refresh() == [] and held.give("b", os.getuid()) == 0 and held.give("a", os.getuid()) == 2
    with bound("127.0.0.1", settings.mlflow_port) as door:
        door.listen()
        assert HeldPorts(tmp_path, said.append).refresh() == [] and said == []  # one more of the same user
    (tmp_path / f"a.{held_ports.FILE}").unlink()
    assert held.refresh() == []
    with socket.create_server(("127.0.0.1", settings.mlflow_port)):
        pass


@stranger.needs_root
def test_a_command_sends_no_login_to_a_stranger_at_a_port_of_a_platform_that_is_down(settings):
    insist_own(settings, settings.airflow_port)  # nobody is there
    with socket.create_server(("127.0.0.1", settings.airflow_port)):
        insist_own(settings, settings.airflow_port)
    with stranger.crowding(settings.airflow_port):
        until(lambda: stranger.USER in owners(settings.airflow_port))
        with pytest.raises(InputError, match=rf"port {settings.airflow_port}: user {stranger.USER} .*no login is sent.*make status"):
            insist_own(settings, settings.mlflow_port, settings.airflow_port)
