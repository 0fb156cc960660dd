"""``python -m gpu_pool.agent`` as a process: what starts, ends and kills it."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from include import atomic
from include.platform import supervisord
from include.platform.gpus import Reporter
from include.platform.programs import gpu_agent
from include.pool.state import Config
from include.runtime.settings import REPO
from include.runtime.supervisor import State, Supervisor
from tests.include.inventory.pool_server import PoolServer
from tests.include.platform.conftest import home
from tests.waiting import ended, until

TOKEN = "t0ken-that-nobody-may-see"


@pytest.fixture
def server():
    server = PoolServer(TOKEN)
    yield server
    server.close()


@pytest.fixture
def start(tmp_path, server):
    """Starts an agent of the declared inventory with these arguments; what it prints goes to ``log``."""
    (tmp_path / "token").write_text(TOKEN)
    started = []

    def start(*arguments, url=server.url):
        command = [sys.executable, "-m", "gpu_pool.agent", "--server", url, "--token-file", str(tmp_path / "token"), *arguments]
        environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'plugins'}"}
        with (tmp_path / "log").open("w") as log:
            started.append(subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT))
        started[-1].log = tmp_path / "log"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def test_it_reports_the_declared_gpus_where_there_are_none_and_goes_on(start, server):
    start("--source", "declared", "--every", "0.1")
    server.wait(3)
    path, body = server.reports[0]
    assert path == "/gpu-pool/v1/reports/simulated"
    assert (body["source"], [node["name"] for node in body["nodes"]]) == ("declared", ["simulated"])
    assert [device["model"] for device in body["nodes"][0]["devices"]] == ["H100-80GB"] * 2
    assert [later["sequence"] > body["sequence"] for _, later in server.reports[1:]] == [True] * (len(server.reports) - 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_told(start, server, number):
    process = start("--source", "declared", "--every", "3600")
    server.wait(1)
    process.send_signal(number)
    assert process.wait(60) == 0, "long before its next report"


def test_it_ends_while_the_server_says_nothing_without_asking_again(start):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        process = start("--source", "declared", "--every", "0.1", url=f"http://127.0.0.1:{deaf.getsockname()[1]}")
        deaf.settimeout(60)
        connection, _ = deaf.accept()
        process.terminate()
        assert process.wait(60) == 0
        assert "gives no answer" not in process.log.read_text(), "it did not wait until it gave up"
        connection.close()


def test_the_token_is_in_no_argument_no_environment_and_no_log(start, server):
    process = start("--source", "declared", "--every", "0.1")
    server.wait(2)
    folder = Path(f"/proc/{process.pid}")
    assert TOKEN.encode() not in (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
    server.token = "another"
    until(lambda: "401" in process.log.read_text())
    assert TOKEN not in process.log.read_text()


def test_it_waits_for_a_server_that_comes_later(start, server):
    port = server.port
    server.close()
    process = start("--source", "declared", "--every", "0.1")
    until(lambda: "gives no answer" in process.log.read_text())
    later = PoolServer(TOKEN, port)
    try:
        later.wait(1)
    finally:
        later.close()


def test_auto_finds_what_is_here(start, server):
    """On a machine without a GPU that is the declared file; with one, NVML."""
    start("--source", "auto", "--every", "0.1")
    server.wait(1)
    here = "nvml" if Path("/dev/nvidia0").exists() else "declared"
    assert server.reports[0][1]["source"] == here


def test_a_machine_that_runs_it_needs_no_airflow():
    code = "import sys, gpu_pool.agent; print([name for name in sys.modules if name.split('.')[0] in ('airflow', 'kubernetes', 'pynvml')])"
    environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'plugins'}"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--source", "declared", "--file", "/nowhere.yaml"), "/nowhere.yaml"),
        (("--every", "0"), "--every"),
        (("--every", "nan"), "--every"),
        (("--reporter", "../x"), "--reporter"),
        (("--source", "magic"), "--source"),
    ],
)
def test_wrong_arguments_are_named_without_a_traceback(start, arguments, says):
    process = start(*arguments)
    assert process.wait(20) in (1, 2)
    text = process.log.read_text()
    assert says in text and "Traceback" not in text


def test_a_killed_agent_is_back_before_its_node_counts_as_silent(server):
    """As the platform runs it, under a real supervisord."""
    with home() as settings:
        supervisord.start(settings)
        who = Reporter("simulated", "declared", cluster=False)
        program = gpu_agent(settings, who)
        program = replace(program, command=tuple(server.url if part == settings.airflow_url else part for part in program.command))
        atomic.write(who.token(settings), TOKEN)
        supervisor = Supervisor(settings)
        supervisor.start_program(program)
        server.wait(1)
        _, process, _ = supervisor.info(program.name)
        os.kill(process, signal.SIGKILL)
        server.wait(len(server.reports) + 1, Config().node_silent_s)
        assert ended(process)
        assert supervisor.state(program.name) in (State.STARTING, State.RUNNING)
        sequences = [body["sequence"] for _, body in server.reports]
        assert sequences == sorted(set(sequences))


def test_without_a_pool_to_report_to_it_says_what_is_missing():
    command = [sys.executable, "-m", "gpu_pool.agent", "--source", "declared"]
    environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'plugins'}"}
    done = subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "--server: is missing" in done.stderr
