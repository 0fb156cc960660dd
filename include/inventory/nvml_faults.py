"""Critical Xid errors, as the driver announces them while somebody listens."""

from __future__ import annotations

import contextlib
from typing import Any

APPLICATION = frozenset({13, 31, 43, 45, 68, 109})
"""Xids that a program's own fault raises and that leave the GPU sound; NVIDIA's device plugin for Kubernetes passes over the same."""
MEMORY_NOTES = frozenset({63, 92, 94})
"""Xids about memory that the GPU goes on with: a row was remapped or a page retired, single-bit errors were many, an error was contained
(its program ended, nobody else's did). They ask for a reset at the next good moment, not for the end of its leases (NVIDIA, Xid Errors)."""
MOST_EVENTS = 1000
"""Taken in one look: a GPU that raises them faster can't keep the agent from reporting."""


class Faults:
    """Listens for Xids of the GPUs told to :meth:`watch`. A GPU that had one stays failed until the agent is started anew: the driver
    doesn't say when it is sound again."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._events: Any = None
        self._watched: set[str] = set()
        self._why: dict[str, str] = {}

    def watch(self, uuid: str, handle: Any) -> None:
        """Once for each GPU; one that can't announce Xids is left alone."""
        if uuid in self._watched:
            return
        self._watched.add(uuid)
        try:
            kind = self._api.nvmlEventTypeXidCriticalError
            if self._api.nvmlDeviceGetSupportedEventTypes(handle) & kind:
                if self._events is None:
                    self._events = self._api.nvmlEventSetCreate()
                self._api.nvmlDeviceRegisterEvents(handle, kind, self._events)
        except self._api.NVMLError_GpuIsLost:
            raise
        except self._api.NVMLError:
            return

    def look(self) -> None:
        """Take what has been announced since the last look. Never waits."""
        for _ in range(MOST_EVENTS if self._events is not None else 0):
            try:
                event = self._api.nvmlEventSetWait(self._events, 0)
                if event.eventData not in APPLICATION | MEMORY_NOTES:
                    self._why[self._api.nvmlDeviceGetUUID(event.device)] = (
                        f"Xid {event.eventData}, a critical error that the driver announced"
                    )
            except self._api.NVMLError:
                return  # a timeout: nothing more to tell

    def why(self, uuid: str) -> str:
        """Why a GPU must not be used; "" when it may."""
        return self._why.get(uuid, "")

    def forget(self) -> None:
        """The driver is let go: its event set goes too. What has failed is remembered."""
        if self._events is not None:
            with contextlib.suppress(self._api.NVMLError):
                self._api.nvmlEventSetFree(self._events)
        self._events = None
        self._watched.clear()
