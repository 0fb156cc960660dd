"""AcquireGpu, and the two of them around some work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Unpack

from gpu_pool.client import PoolClient, explained
from gpu_pool.operators.asking import Asking, ask_of, taken
from gpu_pool.operators.holding import HoldsGpu, key_of
from gpu_pool.operators.release import ReleaseGpu

DURATION_S = 3600.0


class AcquireGpu(HoldsGpu):
    """Setup: waits, deferred, until the pool grants what is asked; fails at once when that can never be. The arguments are those of
    :class:`Asking`.

    Returns ``{lease_id, token, node, devices, memory_mib, environment, ...}``. Nobody holds it but the calendar: the lease lasts for
    ``duration`` (1 hour), then the pool takes it back. A task that uses it should do so inside ``with use_lease(...)``, which extends it by
    as much whenever it is used, and hears when the pool wants it back. Not ``preemptible`` unless you say so: say so where every task
    inside uses ``use_lease``. A retry gets the same lease with a new token.
    """

    template_fields = ("asking",)
    ui_color = "#e3f5e1"

    def __init__(self, **kwargs: Any) -> None:
        self.asking: Asking = {"preemptible": False, "duration": DURATION_S, **taken(kwargs)}
        super().__init__(**kwargs)
        if "{{" not in str(self.asking):
            ask_of(self.asking, f"AcquireGpu {self.task_id}")

    def execute(self, context: Any) -> Any:
        plain = ask_of(self.asking, f"AcquireGpu {self.task_id}")
        ask = ask_of(self.asking, f"AcquireGpu {self.task_id}", ttl_s=plain.duration_s)
        with explained():
            wanted = PoolClient.connect().submit(key_of(context), ask)
        if wanted.lease is None:
            self.log.info("Waits for %s, priority %s: %s", ask.size(), ask.priority, wanted.why())
            self.wait_for_gpu(context, wanted)
            raise AssertionError("deferred")
        self.log.info("Holds %s: %s (lease %s)", ask.size(), wanted.lease, wanted.lease.id)
        return wanted.lease.to_xcom()


@contextmanager
def gpu_lease(name: str = "gpu", **asking: Unpack[Asking]) -> Iterator[Any]:
    """The tasks made inside run between ``acquire_<name>`` and ``release_<name>``; yields the lease for their arguments.

    .. code-block:: python

        with gpu_lease(memory="20GiB", priority=7) as lease:
            train(lease) >> evaluate(lease)
    """
    acquire = AcquireGpu(task_id=f"acquire_{name}", **asking).as_setup()
    release = ReleaseGpu(task_id=f"release_{name}", lease=acquire.output).as_teardown(setups=acquire)
    with release:
        yield acquire.output
