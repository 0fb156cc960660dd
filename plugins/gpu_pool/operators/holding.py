"""What every task has in common that works under a lease of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, TypeVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from gpu_pool.client import PoolClient, Wanted, explained
from gpu_pool.holder import Holder, Stop
from gpu_pool.triggers.acquire import AcquireTrigger
from include.errors import InputError
from include.platform.gpus import local_node
from include.pool.ask import Ask
from include.pool.grants import NODE_LABEL
from include.runtime.settings import Settings

LONGEST_KEY = 512
T = TypeVar("T")


class MustStop(Exception):
    """Raised by the work when it has stopped because its holder said so."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        super().__init__(stop.reason)


def key_of(context: Mapping[str, Any]) -> str:
    """The name of a task's request: the same in every try, so that a retry takes the lease over and never gets a second one."""
    ti = context["ti"]
    return key(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)


def key(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Cut, and ended by its hash, where the pool would find it too long."""
    whole = f"{dag_id}/{run_id}/{task_id}/{map_index}"
    return whole if len(whole) <= LONGEST_KEY else f"{whole[: LONGEST_KEY - 33]}-{sha256(whole.encode()).hexdigest()[:32]}"


def here(ask: Ask, settings: Settings) -> Ask:
    """The ask, for GPUs of the machine that this task runs on; as it is where that has no agent of its own, or a simulated fleet."""
    node = local_node(settings)
    return ask.among({NODE_LABEL: node}) if node else ask


class HoldsGpu(BaseOperator):
    """A task that works under a lease, waits for it deferred, and goes back to the queue when it must stop: no retry is spent on that."""

    _holder: Holder | None = None

    def with_gpu(
        self,
        context: Mapping[str, Any],
        ask: Ask,
        work: Callable[[Holder], T],
        *,
        local: bool = True,
        otherwise: Callable[[InputError], T] | None = None,
    ) -> T:
        """The result of ``work``, called with the lease's holder; ``local``: on devices of this machine, where it has any.
        ``otherwise`` is called, with the pool's words, when no GPU here could ever do; without it that is an error.

        The work calls :meth:`Holder.beat` and raises MustStop once it has stopped.
        Leaves by TaskDeferred while there is no lease; the task is to come here again when it is resumed.
        """
        refused: InputError | None = None
        with explained():
            pool, ask = PoolClient.connect(), here(ask, Settings.load()) if local else ask
            try:
                wanted = pool.submit(key_of(context), ask)
            except InputError as error:
                if otherwise is None:
                    raise
                refused = error
        if otherwise and refused:
            return otherwise(refused)
        if wanted.lease is None:
            self.log.info("Waits for %s, priority %s: %s", ask.size(), ask.priority, wanted.why())
            self.wait_for_gpu(context, wanted)
        assert wanted.lease is not None
        self.log.info("Holds %s: %s (lease %s)", ask.size(), wanted.lease, wanted.lease.id)
        self._holder = holder = Holder(pool, wanted.lease)
        requeue = False
        try:
            return work(holder)
        except MustStop as must:
            if must.stop.fenced:
                raise AirflowException(f"Another try of this task has taken over: {must.stop.reason}") from None
            requeue = True
            self.log.warning("Gives its GPU back and waits for its next turn: %s", must.stop.reason)
        finally:
            self._holder = None
            if problem := holder.release(requeue=requeue):
                self.log.warning("The lease was not given back: %s", problem)
        with explained():
            self.wait_for_gpu(context, pool.submit(key_of(context), ask))
        raise AssertionError("deferred")

    def wait_for_gpu(self, context: Mapping[str, Any], wanted: Wanted) -> None:
        """Defer until the pool has answered; then :meth:`resume`."""
        ti = context["ti"]
        self.defer(
            trigger=AcquireTrigger(
                request_id=wanted.id,
                dag_id=ti.dag_id,
                run_id=ti.run_id,
                task_id=ti.task_id,
                map_index=ti.map_index,
                reasons=wanted.why(),
                deferred_at=time.time(),
            ),
            method_name="resume",
        )

    def resume(self, context: Any, event: Mapping[str, Any] | None = None) -> Any:
        """Called by Airflow when the wait is over: the pool is asked again under the same key, and says what holds now."""
        return self.execute(context)

    def release_gpu(self) -> None:
        """For ``on_kill``, once the work has been stopped."""
        if self._holder is not None:
            self._holder.release()
