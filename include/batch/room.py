"""How many questions of a batch may be in the server at once: what live traffic leaves free."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from include.errors import ComponentError

POLL_S = 0.25
MEMORY_S = 1.0
"""Live traffic of this long ago still counts: callers come back."""
PATIENCE_S = 60.0
"""A gateway that doesn't say for this long how busy it is has failed."""


class Room:
    """``slots``: answers the server gives at once; ``most`` of them are the batch's at most. ``active`` says how many requests are at the
    server, the batch's own included (it may block). One slot is left free for the next live request where there is more than one.
    """

    def __init__(self, slots: int, most: int | None, active: Callable[[], int]) -> None:
        self._slots, self._active = slots, active
        free = slots - (slots > 1)
        self.most = min(most or free, free)
        self._flying = 0
        self._others: deque[int] = deque(maxlen=max(1, round(MEMORY_S / POLL_S)))
        self._changed = asyncio.Condition()

    @property
    def allowed(self) -> int:
        """How many may fly now; none until it is known what else does."""
        if not self._others:
            return 0
        return max(0, min(self.most, self._slots - (self._slots > 1) - max(self._others)))

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the server; waits until there is one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._flying < self.allowed)
            self._flying += 1
        try:
            yield
        finally:
            self._flying -= 1
            async with self._changed:
                self._changed.notify_all()

    async def watch(self) -> None:
        """Looks at the server until it is cancelled. Raises ComponentError when the gateway no longer says how busy it is."""
        heard = time.monotonic()
        while True:
            before = self._flying
            try:
                active = await asyncio.to_thread(self._active)
            except ComponentError:
                if time.monotonic() - heard > PATIENCE_S:
                    raise
            else:
                heard = time.monotonic()
                # Of the batch's own, as many as at either end of the look: one that came or went meanwhile is nobody's traffic.
                self._others.append(max(0, active - max(before, self._flying)))
                async with self._changed:
                    self._changed.notify_all()
            await asyncio.sleep(POLL_S)
