"""A revision whose engine is stopped, and killed, under it.

``unshare --net python -m tests.include.serving.own_engine FOLDER ENGINE IMAGE``, apart from everything: the engine is one of its own below
FOLDER, in a network that has a loopback only, with an image of the engine whose socket is ENGINE. Ends with 0 when the server was back
each time, and nothing was left.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from docker.api.client import APIClient
from docker.errors import DockerException

from include.backends.triton.spec import TritonServe
from include.serving.docker import DockerHost
from include.serving.revisions import Revisions
from include.targets.containers import EngineAccess, EnginePlace
from tests.include.serving.stage import Stage
from tests.waiting import until

SECONDS = 180


class Engine:
    """A Docker engine of one's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"unix://{folder}/d.sock"

    def start(self) -> APIClient:
        roots = {"data-root": "data", "exec-root": "exec", "pidfile": "d.pid"}
        (self._folder / "d.pid").unlink(missing_ok=True)
        words = [f"--{name}={self._folder / place}" for name, place in roots.items()]
        command = ["dockerd", f"--host={self.url}", *words, "--bridge=none", "--iptables=false"]
        with (self._folder / "d.log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until(self._answers, SECONDS)
        return APIClient(self.url, version="auto", timeout=SECONDS)

    def end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(SECONDS)

    def _answers(self) -> bool:
        try:
            return bool(APIClient(self.url, version="auto").ping())
        except DockerException:
            return False


def main(folder: Path, source: str, image: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    engine, stage = Engine(folder), Stage()
    client = engine.start()
    try:
        client.load_image(APIClient(source, version="auto", timeout=SECONDS).get_image(image))
        access = EngineAccess(engine.url)
        host = DockerHost(stage.settings, stage.supervisor, lambda: (access, EnginePlace(), access.client()))
        backend = Revisions(stage.settings, stage.supervisor, {"docker": lambda: host})
        serve = TritonServe(batch_delay_us=0, start_timeout_s=SECONDS)
        revision = backend.start(stage.bundles / "good", "plain", "1", serve, target="docker")
        for how in (signal.SIGTERM, signal.SIGKILL):
            engine.end(how)
            time.sleep(2)
            engine.start()
            begun, ready_since = time.monotonic(), None
            while ready_since is None or time.monotonic() - ready_since < 5:  # what an engine finds, it may yet end
                assert time.monotonic() - begun < SECONDS, f"not back after {how.name}"
                ready_since = (ready_since or time.monotonic()) if backend.ready(revision) else None
                time.sleep(0.2)
            print(f"{how.name}: back after {time.monotonic() - begun:.0f} s", flush=True)
            assert len(client.containers(all=True)) == 1
        backend.stop(revision)
        assert not client.containers(all=True)
    finally:
        stage.close()
        engine.end(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    os._exit(0)  # no thread of a client is waited for
