"""What `make up`, `down` and `status` say when they cannot do their part; that they can is the journeys' to show."""

import os
import socket
import subprocess
import sys

import pytest

from include.runtime.settings import REPO
from include.runtime.supervisor import Supervisor


def command(settings, *arguments, **environment):
    known = os.environ | {
        "UPDRAFT_HOME": str(settings.home),
        "UPDRAFT_RUNTIMES": str(settings.runtimes),
        "UPDRAFT_PORT_BASE": str(settings.port_base),
    }
    return subprocess.run(
        [sys.executable, "-m", "include.platform", *arguments],
        env=known | environment,
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(done, *says):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for text in says:
        assert text in done.stderr


@pytest.mark.parametrize(("name", "offset"), [("gateway", 0), ("mlflow", 50), ("airflow", 80)])
def test_a_taken_port_is_named_with_its_holder_and_the_remedy_and_nothing_starts(fresh, name, offset):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", fresh.port_base + offset))
        holder.listen()
        done = command(fresh, "up")
    refused(done, name, str(fresh.port_base + offset), f"process {os.getpid()}", "UPDRAFT_PORT_BASE=")
    assert not Supervisor(fresh).running()


def test_a_scale_that_is_none_is_refused(fresh):
    refused(command(fresh, "up", UPDRAFT_SCALE="huge"), "UPDRAFT_SCALE", "embedded, scaled")


def test_a_missing_runtime_is_named(fresh, tmp_path):
    refused(command(fresh, "up", UPDRAFT_RUNTIMES=str(tmp_path)), "runtime airflow is not installed", "make install")


def test_a_home_with_a_long_path_is_refused(fresh):
    refused(command(fresh, "up", UPDRAFT_HOME=str(fresh.home / ("deep" * 25))), "UPDRAFT_HOME", "shorter")


@pytest.mark.parametrize("base", ["eighty", "80", "65500", "-1", ""])
def test_a_port_base_that_is_none_is_refused(fresh, base):
    refused(command(fresh, "up", UPDRAFT_PORT_BASE=base), "UPDRAFT_PORT_BASE")


def test_damaged_credentials_are_named(fresh):
    (fresh.home / "credentials.json").write_text("{")
    refused(command(fresh, "up"), "credentials.json")


def test_down_of_what_is_not_up_is_fine(fresh):
    assert command(fresh, "down").returncode == 0


def test_status_of_what_is_not_up_says_how_to_start_it(fresh):
    done = command(fresh, "status")
    assert done.returncode == 1
    assert "make up" in done.stdout


def test_logs_before_the_first_start(fresh):
    done = command(fresh, "logs")
    assert done.returncode == 1
    assert "make up" in done.stdout


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"KUBECONFIG": "/no/such/file"}, "KUBECONFIG: /no/such/file is no file"),
        ({"UPDRAFT_STEPS_HOST": "127.0.0.1"}, "UPDRAFT_STEPS_HOST: '127.0.0.1' is no address of this machine that others can reach"),
    ],
)
def test_what_steps_in_pods_lack_is_said_before_anything_starts(fresh, environment, says):
    done = command(fresh, "up", UPDRAFT_TARGET="kubernetes", **environment)
    refused(done, says)
    assert not Supervisor(fresh).running()
