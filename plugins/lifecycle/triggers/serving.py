"""Waits in the triggerer until a revision runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from include.errors import ComponentError, InputError
from lifecycle.run import airflow_api

POLL_S = 2.0


class HealthyTrigger(BaseTrigger):
    """Asks at ``path`` until the revision there runs, or ``timeout_s`` is over since ``begun_s``. Started again, it goes on."""

    def __init__(self, *, path: str, timeout_s: float, begun_s: float = 0.0) -> None:
        super().__init__()
        self.path, self.timeout_s, self.begun_s = path, timeout_s, begun_s or time.time()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        kwargs = {"path": self.path, "timeout_s": self.timeout_s, "begun_s": self.begun_s}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        api = await sync_to_async(airflow_api)()
        *_, model, _, version = self.path.split("/")
        row: dict[str, Any] = {"model": model, "version": int(version), "state": "unknown", "wanted": "running", "message": ""}
        while True:
            try:
                row = await asyncio.to_thread(api.get, self.path)
            except ComponentError as error:  # a server that is away ends no wait
                self.log.warning("Still waiting: %s", error)
            except InputError as error:  # it was deleted meanwhile
                yield TriggerEvent({"healthy": False, "row": row | {"message": str(error)}})
                return
            if row["wanted"] != "running" or row["state"] == "running" or time.time() - self.begun_s > self.timeout_s:
                yield TriggerEvent({"healthy": row["wanted"] == "running" and row["state"] == "running", "row": row})
                return
            await asyncio.sleep(POLL_S)
