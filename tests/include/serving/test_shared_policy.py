"""What the sandbox lets a server write that several revisions share: its home, which lies among the revisions."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from include.backends.registry import backend
from include.backends.vllm.spec import VllmServe
from include.runtime.settings import Settings
from include.serving.host import Instance, ProcessHost
from include.serving.revision import Revision

pytestmark = pytest.mark.integration


def test_a_shared_server_writes_in_its_home(tmp_path: Path):
    settings = replace(Settings.load(), home=tmp_path / "home")
    home = settings.revisions / ".shared" / "revision-base-b1"
    home.mkdir(parents=True)
    revision = Revision("talker", "1", "127.0.0.1", settings.revision_ports[0], 0, 0, "abc", 10.0, "vllm", home.name)
    instance = Instance(revision, backend("vllm"), home, home, VllmServe(adapters=True), None)
    command = ProcessHost(settings)._policy(instance).wrap(("/usr/bin/touch", str(home / "base.sock")))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (home / "base.sock").exists()
