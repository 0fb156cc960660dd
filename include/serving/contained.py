"""One revision's server in a container, as a program of supervisord's: ``python -m include.serving.contained ORDER.json DIGEST``.

It starts the container, copies what that prints, and ends when that ends: supervisord then starts it again. Asked to end, it ends the
container. Killed, it leaves the container to the next one, which goes on with it if the order is the same. An engine that is away is
waited for: it may be that its containers run on.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from include import atomic
from include.errors import UpdraftError
from include.runtime.settings import Settings
from include.targets.containers import ALIVE, Container, Containers, EngineAccess, holder
from include.targets.docker_errors import EngineAway, told

SAYS = "docker: "
"""What its own sentences begin with that say why the server is not there."""
ORDER = "updraft.order"
AWAY_S = 1.0
"""Between two questions to an engine that is away."""
T = TypeVar("T")


class Asked(BaseException):
    """To end."""


@dataclass(frozen=True)
class Order:
    """What is to run, and where. ``stop_wait_s``: the server's own patience when it is asked to end."""

    access: EngineAccess
    container: Container
    stop_wait_s: float

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(file, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, file: Path) -> Order:
        data = json.loads(file.read_text())
        return cls(EngineAccess(**data["access"]), Container.from_json(data["container"]), data["stop_wait_s"])


def ended(file: Path) -> Path:
    """Is there when the container of this order has ended unasked: supervisord shows that for a moment only."""
    return file.with_suffix(".ended")


class Follower:
    """Of the container of one order."""

    def __init__(self, settings: Settings, order: Order) -> None:
        self._settings, self._order = settings, order
        self._container = replace(order.container, labels={**order.container.labels, ORDER: order.digest})
        self._known: Containers | None = None
        self._since = 0.0

    def run(self) -> int:
        """The container's exit status, 1 for 0: a server has no reason to end. Raises UpdraftError."""
        self._patiently(self._begin)
        while True:
            self._patiently(self._copy)
            state = self._patiently(lambda: self._containers().state(self._container.name))
            if state.get("Status") not in ALIVE:
                say(self._ended(state))
                self._patiently(lambda: self._containers().remove(self._container.name))
                return int(state.get("ExitCode", 1)) or 1

    def stop(self) -> None:
        """End it and what it started, and free its ports."""
        self._containers().stop(self._container.name, int(self._order.stop_wait_s))
        self._containers().remove(holder(self._container.name))

    def _begin(self) -> None:
        """A container of this order, started now or running already."""
        containers, name = self._containers(), self._container.name
        found = containers.inspect(name)
        if found and found["State"]["Status"] in ALIVE and found["Config"]["Labels"].get(ORDER) == self._order.digest:
            self._since = time.time()
            return
        containers.remove(name)
        containers.start(self._container)

    def _copy(self) -> None:
        """What it prints, until it ends or the engine goes away."""
        with told():
            since = {"since": self._since} if self._since else {}
            for chunk in self._containers().client.logs(self._container.name, stream=True, follow=True, **since):
                self._since = time.time()
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()

    def _ended(self, state: dict[str, Any]) -> str:
        code, limit = state.get("ExitCode"), self._container.memory
        if not state:
            return f"{SAYS}its container is gone: somebody has removed it, or the engine has lost it."
        if state.get("OOMKilled") and limit:
            return f"{SAYS}the server needed more than {limit} of memory and was ended. Raise serve.limits.memory."
        if state.get("OOMKilled"):
            return f"{SAYS}the Docker host ran out of memory, and the server was killed."
        if code in (126, 127):
            return f"{SAYS}the image cannot run the server (exit code {code}). Build it anew: `make images`."
        return f"The container ended with exit code {code}. {state.get('Error') or ''}".rstrip()

    def _containers(self) -> Containers:
        if self._known is None:
            self._known = Containers(self._settings, self._order.access.client(), self._container.place)
        return self._known

    def _patiently(self, work: Callable[[], T]) -> T:
        said = False
        while True:
            try:
                return work()
            except EngineAway as away:
                if not said:
                    say(f"{away} It is waited for.")
                said = True
                time.sleep(AWAY_S)


def say(sentence: str) -> None:
    print(sentence, flush=True)


def main(file: Path) -> int:
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise Asked

    follower = Follower(Settings.load(), Order.read(file))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    try:
        try:
            status = follower.run()
            ended(file).touch()
            return status
        except Asked:
            follower.stop()
            return 0
    except UpdraftError as error:
        say(f"{SAYS}{error}")
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
