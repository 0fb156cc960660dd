"""Simulated machines that are taken by the hour: they boot in the time that their file says, in the agent's memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from include.pool.state import BurstState, NodeReport


class Hired:
    """Which of them are on. An agent that starts anew begins with all of them off."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._noticed: dict[str, float] = {}

    def want(self, node: str, up: bool) -> None:
        """Boot it, or end it at once."""
        if not up:
            self._since.pop(node, None)
        else:
            self._since.setdefault(node, self._clock())

    def seen(self, node: NodeReport) -> NodeReport:
        """Return the node as it is now: its state, and what is left of its provider's notice."""
        offer, now = node.burst, self._clock()
        if offer is None:
            return node
        since = self._since.get(node.name)
        up = since is not None and now - since >= offer.boot_s
        if offer.notice_s is None or not up:
            self._noticed.pop(node.name, None)
            left = None
        else:
            left = offer.notice_s - (now - self._noticed.setdefault(node.name, now))
            if left <= 0:  # its provider has taken it
                self._since.pop(node.name, None)
                since, up, left = None, False, None
        state = BurstState.ON if up else BurstState.OFF if since is None else BurstState.BOOTING
        return replace(node, burst=replace(offer, state=state, notice_s=left))
