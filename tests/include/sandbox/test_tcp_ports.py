"""Which TCP ports a step's container is told that it may use."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from include.runtime.sandbox import landlock
from include.runtime.sandbox.ports import VARIABLE, Ports, handed_out, hold
from include.runtime.settings import REPO
from include.targets import confined
from tests.include.sandbox.contained import request


@pytest.mark.parametrize(
    ("mlflow", "ports"),
    [("http://10.0.0.1:8051", [8051]), ("https://mlflow.example.org", [443]), ("http://mlflow.updraft.svc/", [80]), ("", [])],
)
def test_they_are_those_of_mlflow_and_of_what_the_spec_names(tmp_path, mlflow, ports):
    asked = replace(request(tmp_path / "named", "def load(): ...\n"), network=["warehouse.example.org:5432"])
    told = json.loads(confined.tcp_of(asked, mlflow, (8000, 8399))[VARIABLE])
    assert told == {"connect": [*ports, 5432], "listen": [], "handed_out": True, "closed": [8000, 8399]}


TRIES = """
import os, socket, sys
from include.runtime.sandbox.ports import hold
from include.steps import gang
hold(os.environ, gang.meets_at())
def bind(port):
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
MEETING, OTHER, SERVICE = map(int, sys.argv[1:])
for name, work in (("meeting", lambda: bind(MEETING)), ("handed out", lambda: bind(0)), ("another", lambda: bind(OTHER)),
                   ("service", lambda: socket.create_connection(("127.0.0.1", SERVICE)).close())):
    try:
        work()
        print(name, "fine")
    except PermissionError:
        print(name, "refused")
"""


@pytest.mark.skipif(landlock.abi() < landlock.PORTS, reason="this kernel holds no ports")
@pytest.mark.parametrize("variable", ["PET_MASTER_PORT", "MASTER_PORT"])
def test_of_a_gangs_pods_each_may_use_the_port_where_they_meet_and_no_service_of_the_cluster(variable):
    """Pods of one training listen for each other; what else there is on the network is refused to them as to a single pod."""
    first = handed_out((0, 0))[0]
    with bound_below(first) as service:
        told = Ports(connect=(8051,)).environment() | {variable: str(first - 3), "PYTHONPATH": str(REPO)}
        ports = [str(first - 3), str(first - 2), str(service.getsockname()[1])]
        done = subprocess.run([sys.executable, "-c", TRIES, *ports], env=told, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["meeting fine", "handed out fine", "another refused", "service refused"]


def bound_below(first: int) -> socket.socket:
    """Something that listens at a port that the kernel hands out to nobody."""
    for port in range(first - 50, first - 10):
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            continue
    raise AssertionError("all are taken")


def test_who_is_told_nothing_gives_up_nothing():
    hold(environment := {"PATH": "/bin"})
    assert environment == {"PATH": "/bin"}
