"""A process that acquires and releases as fast as it can, and is killed: ``python -m tests.plugins.gpu_pool.hammer URL COMMITS``.

It prints a line for everything that a broker has acknowledged (``granted ID TOKEN``, ``released ID``). In the transaction after so many
that have changed something it kills itself with SIGKILL, with all of it written and nothing committed.
"""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gpu_pool.broker import Broker
from gpu_pool.db.store import Store
from include.pool.ask import Ask
from include.pool.pool import Pool
from tests.plugins.gpu_pool.asking import PATIENCE_S, release, submit


class Dying(Store):
    def __init__(self, url: str, commits: int) -> None:
        super().__init__(url)
        self._left = commits

    def write(self, *arguments: Any) -> int:
        version = super().write(*arguments)
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return version


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # at once, and whole


def work(broker: Broker, number: int) -> None:
    for turn in range(10_000):
        lease = submit(broker, f"h{number}/{turn}", Ask(fraction=0.3)).result(PATIENCE_S)["lease"]
        if lease:
            say(f"granted {lease['id']} {lease['token']}")
            if turn % 3:
                release(broker, lease).result(PATIENCE_S)
                say(f"released {lease['id']}")


if __name__ == "__main__":
    broker = Broker(Dying(sys.argv[1], int(sys.argv[2])), Pool)
    broker.start()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: work(broker, number), range(4)))
