"""What holds user code of a platform that an ordinary user has started. Root tries it as `nobody`, with the system's Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.runtime.sandbox import landlock
from include.runtime.settings import REPO
from tests.include.sandbox.skeleton import SECRET

NOBODY, PYTHON = 65534, "/usr/bin/python3.11"
AS_ROOT = os.geteuid() == 0
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(landlock.abi() < 6, reason="this kernel offers less: make up says what"),
    pytest.mark.skipif(AS_ROOT and not Path(PYTHON).exists(), reason=f"there is no {PYTHON}, and root's own can't be nobody's"),
]
PARENT = """
import json, os, socket, subprocess, sys
from include.runtime.sandbox.policy import Policy
home, attempts, out = sys.argv[1:4]
victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"TOKEN": "SECRET"})
door = socket.create_server(("127.0.0.1", 0))
facts = json.loads(sys.argv[4]) | {"platform": victim.pid, "supervisord": os.getpid(), "door": door.getsockname()}
policy = Policy("t", (attempts,), (out,), hidden=(home,), closed=(61000, 61400), users=home + "/users")
code = "import json, sys; sys.path[0] = sys.argv[1]; import hostile as h; print('GOT ' + json.dumps(h.attempt(json.loads(sys.argv[2]))))"
command = policy.wrap([sys.executable, "-c", code, attempts, json.dumps(facts)])
done = subprocess.run(command, env={"TMPDIR": out, "UPDRAFT_CHECKPOINTS": out})
victim.kill()
sys.exit(done.returncode)
""".replace("SECRET", SECRET)
NOT_HERE = (
    "more_processes_than_allowed",
    "another_runs_record",
    "secrets_on_command_lines",
    "replace_the_log",
    "replace_the_request",
)
"""Not promised to an ordinary user, or tried with a platform in the other tests."""


@pytest.fixture
def home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="ud-")).resolve()
    for name in (
        "credentials.json",
        "airflow/airflow.db",
        "mlflow/mlflow.db",
        "dvc/x",
        "steps/other/model",
        "models/other/model.yaml",
        "in-tmp",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(SECRET)
    for name in ("steps/own/out", "attempts"):
        (home / name).mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("hostile.py"), home / "attempts")
    if AS_ROOT:
        for path in (home, *home.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield home
    shutil.rmtree(home)


def test_all_that_hostile_code_tries_is_refused_to_an_ordinary_users_step(home):
    step = home / "steps" / "own"
    facts = {
        "home": str(home),
        "other": str(home / "steps/other/model"),
        "other_model": str(home / "models/other/model.yaml"),
        "repo": str(REPO),
        "user_home": os.path.expanduser("~"),
        "in_tmp": str(home / "in-tmp"),
        "in_shm": "/dev/shm/none",
        "secrets": [SECRET],
        "tokens": ["credentials.json"],
        "free_platform_port": 61010,
        "folder": str(step),
        "was_root": False,
        "processes": 0,
        "airflow_port": 9,
        "mlflow_port": 9,
        "cluster_api": ("127.0.0.1", 9),
        "docker": str(home / "docker.sock"),
    }
    command = [PYTHON if AS_ROOT else sys.executable, "-c", PARENT, str(home), str(home / "attempts"), str(step / "out"), json.dumps(facts)]
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if AS_ROOT else {}
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO), "HOME": str(home)}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=120, check=False, **who)
    assert done.returncode == 0, done.stderr[-3000:]
    got = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("GOT ")).removeprefix("GOT "))
    assert got["allowed"] == "fine", got["allowed"]
    assert {n: what for n, what in got.items() if n not in (*NOT_HERE, "allowed") and not what.startswith("refused")} == {}
    assert (home / "mlflow/mlflow.db").read_text() == SECRET
