"""The agent's loop: read the inventory, tell the pool, every few seconds, whatever happens."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from include.errors import ComponentError, UpdraftError
from include.inventory.door import ReportRefused
from include.inventory.report import Hiring, Inventory, Recuttable, cut_of, to_json
from include.inventory.sequence import Sequence

LONGEST_PAUSE_S = 15.0
"""Between tries while reports fail; under the silence after which the pool stops offering a node (30 s)."""
REMIND_S = 600.0
"""A failure that goes on for the same reason is said once, and again after this."""


class Way(Protocol):
    """Where reports go."""

    def report(self, body: dict[str, Any]) -> dict[str, Any]:
        """What the pool answers. Raises UpdraftError when it is not taken."""
        ...


class Agent:
    """Reports what ``inventory`` reads as ``reporter``. A failed reading is no report: a node whose agent can't see it goes silent, and
    the pool stops offering it."""

    def __init__(
        self, inventory: Inventory, door: Way, reporter: str, sequence: Sequence, every_s: float = 5.0, say: Callable[[str], None] = print
    ) -> None:
        self._inventory, self._door, self._reporter, self._sequence, self._every_s = inventory, door, reporter, sequence, every_s
        self._log, self._say = Log(say), say
        self._failures = 0

    def run(self) -> None:
        """Until the process is told to end."""
        begun = time.monotonic()
        while True:
            self.beat()
            begun += self.pause_s()
            if (ahead := begun - time.monotonic()) > 0:
                time.sleep(ahead)
            else:
                begun = time.monotonic()  # a slow reading puts the beat off, it is not made up for

    def beat(self) -> bool:
        """One reading and one report; whether the pool has it. Never raises: what failed is logged."""
        try:
            nodes = self._inventory.read()
            prefix = f"{self._reporter}/" if self._inventory.cluster else ""
            answer = self._door.report(
                {
                    "source": self._inventory.source,
                    "sequence": self._sequence.next(),
                    "clock": time.time(),
                    "nodes": [to_json(node, prefix) for node in nodes],
                }
            )
        except Exception as error:  # an agent that ends takes its node with it
            self._failures += 1
            self._log.failed(_kind(error), _sentence(error))
            return False
        self._failures = 0
        devices = sum(len(node.devices) for node in nodes)
        self._log.worked(f"Reporting {len(nodes)} node(s) with {devices} device(s), from {self._inventory.source}.")
        self._cut(answer.get("cuts", ()), prefix)
        self._hire(answer.get("burst", ()), prefix)
        return True

    def _hire(self, wanted: Any, prefix: str) -> None:
        """Machines that the pool wants on or off. Never raises: what failed is logged, and reported with the next reading."""
        for entry in wanted:
            try:
                node, up = str(entry["node"]).removeprefix(prefix), entry["up"]
                if not isinstance(self._inventory, Hiring) or not isinstance(up, bool):
                    raise ComponentError("can't be taken or given back from here.", where=f"node {node}")
                self._inventory.want(node, up)
            except Exception as error:
                self._log.failed(_kind(error), _sentence(error))

    def _cut(self, cuts: Any, prefix: str) -> None:
        """GPUs that the pool wants cut anew. Never raises: what failed is logged, and the pool gives it up after a while."""
        for entry in cuts:
            try:
                node, cut = str(entry["node"]).removeprefix(prefix), cut_of(entry)
                if not isinstance(self._inventory, Recuttable):
                    raise ComponentError("can't be cut anew from here.", where=f"GPU {cut.parent} of {node}")
                self._inventory.cut(node, cut)
                self._say(f"Cut GPU {cut.parent} of {node} anew: {', '.join(profile for profile, _ in cut.create)}.")
            except Exception as error:
                self._say(f"No cut: {_sentence(error)}")

    def pause_s(self) -> float:
        """Seconds until the next beat: doubled by every failure up to LONGEST_PAUSE_S, and spread: agents shall not come all at once."""
        pause: float = min(self._every_s * 2 ** min(self._failures, 10), max(self._every_s, LONGEST_PAUSE_S))
        return pause * random.uniform(0.8, 1.0) if self._failures else pause


class Log:
    """One line when something begins to fail, one when it works again; in between a reminder every REMIND_S."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._kind = ""
        self._told = 0.0
        self._working = ""

    def failed(self, kind: str, sentence: str) -> None:
        now = time.monotonic()
        if kind != self._kind or now - self._told > REMIND_S:
            self._say(f"No report: {sentence} Trying again.")
            self._kind, self._told = kind, now

    def worked(self, sentence: str) -> None:
        if self._kind or sentence != self._working:
            self._say(sentence)
        self._kind, self._working = "", sentence


def _kind(error: Exception) -> str:
    where = error.where if isinstance(error, UpdraftError) else ""
    return f"{type(error).__name__} {where} {error.status if isinstance(error, ReportRefused) else ''}"


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, UpdraftError) else f"{type(error).__name__}: {str(error)[:500]}."
