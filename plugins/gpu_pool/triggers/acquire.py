"""Waits for a lease in the triggerer: no worker slot, and no thread while it waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from gpu_pool.client import PoolClient
from include.errors import ComponentError, InputError
from include.pool.state import RequestState

POLL_S = 2.0
"""Between two heartbeats of a request."""
SETTLE_S = 8.0
"""No event so soon after the task was deferred. Airflow's scheduler hears of the end of the deferring process seconds later (up to
[workers] min_heartbeat_interval, then its own loop); a task that runs again by then it takes for one that was killed, and retries it."""
_CALLS = ThreadPoolExecutor(4, thread_name_prefix="gpu-pool")
"""Shared by all triggers of a triggerer: a server that hangs holds up these and nobody else's."""
T = TypeVar("T")


class AcquireTrigger(BaseTrigger):
    """Keeps a request alive until it is granted or has ended. Its state is the pool's: started again anywhere, it goes on.

    The event only wakes the task, which asks under the same key and gets the lease, or queues anew.
    """

    def __init__(
        self, *, request_id: str, dag_id: str, run_id: str, task_id: str, map_index: int, reasons: str = "", deferred_at: float = 0.0
    ) -> None:
        super().__init__()
        self.request_id, self.reasons, self.deferred_at = request_id, reasons, deferred_at
        self.who: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        kwargs = {"request_id": self.request_id, "reasons": self.reasons, "deferred_at": self.deferred_at, **self.who}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        pool = await sync_to_async(PoolClient.connect)()
        said, away = self.reasons, ""
        while True:
            try:
                wanted = await _call(pool.touch, self.request_id)
            except (ComponentError, InputError) as error:  # a server that is away, or starts, ends no wait
                if str(error) != away:
                    away = str(error)
                    self.log.warning("The pool does not answer, still waiting: %s", error)
            else:
                away = ""
                if wanted is None or wanted.state is not RequestState.WAITING:
                    await asyncio.sleep(min(max(self.deferred_at + SETTLE_S - time.time(), 0.0), SETTLE_S))
                    yield TriggerEvent({"state": wanted.state.value if wanted else RequestState.ENDED.value})
                    return
                if wanted.why() != said:
                    said = wanted.why()
                    self.log.info("Waits for a GPU, %s%s", said, f" Expected to start at {wanted.starts_at}." if wanted.starts_at else "")
            await asyncio.sleep(POLL_S)

    async def on_kill(self) -> None:
        """Killed or cleared by hand: no longer wanted, unless the task waits or works again already, under the same key."""
        pool = await sync_to_async(PoolClient.connect)()
        if not await _call(lambda: pool.running(**self.who)):
            await _call(pool.cancel, self.request_id)


async def _call(function: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(_CALLS, function, *arguments)
