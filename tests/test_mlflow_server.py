"""A test run that is killed leaves no server behind."""

import signal
import subprocess
import sys

from tests.mlflow_server import LEASH
from tests.waiting import ended, until

RUN = """
import subprocess, sys, time
server = ["sh", "-c", "sleep 600 & echo $! && wait"]
subprocess.Popen(["sh", "-c", sys.argv[1], "server", *server], stdin=subprocess.PIPE, start_new_session=True)
time.sleep(600)
"""


def test_a_server_ends_with_its_children_when_who_started_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", RUN, LEASH], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        assert not ended(child)
        run.send_signal(signal.SIGKILL)
        until(lambda: ended(child))
