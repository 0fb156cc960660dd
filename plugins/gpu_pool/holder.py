"""Keeps a lease alive while work runs, and notices when the work must stop."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gpu_pool.client import Held, LeaseLost, PoolClient, explained
from include.errors import ComponentError, InputError, UpdraftError

EVERY_S = 3.0
"""Between two heartbeats: a notice is heard this late at most."""
LOST_GRACE_S = 5.0
"""How long work may take to stop once its lease has ended: it uses what is another's by now."""
AWAY_S = 3600.0
"""A server may be away for so long: work goes on, as the pool takes nobody for silent whom it could not hear."""
AGAIN_S = 5.0
"""Between two interrupts of work that goes on after its lease has ended."""


@dataclass(frozen=True)
class Stop:
    """Why the work must stop, and when it is killed (``deadline``, by the holder's monotonic clock). ``ended``: the lease is gone already;
    ``fenced``: to a later try of the same task."""

    reason: str
    deadline: float
    ended: bool
    fenced: bool = False


class Holder:
    """Call :meth:`beat` at least every second while the work runs; ``stop`` says whether it must end.

    No thread of its own: a task's process may fork. A server that is away changes nothing for ``AWAY_S``: whoever kept it from hearing kept
    it from giving the devices to others too, and when it is back it says whether the lease lives. (A holder that alone is cut off may
    outlive its lease so: its process is then foreign to the pool, which offers no device that a foreign process uses.)
    """

    def __init__(self, pool: PoolClient, lease: Held, clock: Callable[[], float] = time.monotonic) -> None:
        self.pool, self.lease, self._clock = pool, lease, clock
        self.stop: Stop | None = None
        self._renewed = self._tried = self._vouched = clock()
        self._saved_at: float | None = None
        self._hear(lease, self._renewed)

    def beat(self) -> Stop | None:
        """A heartbeat, if one is due. Raises nothing that the pool or its server may do."""
        now = self._clock()
        if (self.stop and self.stop.ended) or now - self._tried < min(EVERY_S, self.lease.ttl_s / 4):
            return self.stop
        self._tried = now
        try:
            saved_at = self._saved_at
            told = self.pool.renew(self.lease.id, self.lease.token, None if saved_at is None else now - saved_at)
        except LeaseLost as lost:
            self._end(str(lost), lost.fenced)
        except (ComponentError, InputError) as error:
            patience_s = max(self.lease.ttl_s, AWAY_S) if isinstance(error, ComponentError) else self.lease.ttl_s
            if now - self._renewed > patience_s:
                self._end(f"nobody could renew it for {patience_s:.0f} s: {error}")
            else:
                self._vouched = now
        else:
            self._hear(told, self._renewed)
            self._renewed = self._vouched = now
            if self._saved_at == saved_at:
                self._saved_at = None  # the pool knows
        return self.stop

    def saved(self) -> None:
        """The work has just been saved, whole: the next heartbeat tells the pool, which then knows what a stop would cost."""
        self._saved_at = self._clock()

    def fenced(self) -> bool:
        """Whether a later try of the same task holds the lease: asked now, due or not."""
        self._tried = float("-inf")
        stop = self.beat()
        return stop is not None and stop.fenced

    def _hear(self, told: Held, since: float) -> None:
        """A notice was given after ``since``: counted from there, its deadline is never too late."""
        if told.notice and self.stop is None:
            self.stop = Stop(f"{told.notice.kind}: {told.notice.reason}", since + told.notice.grace_s, ended=False)

    def _end(self, reason: str, fenced: bool = False) -> None:
        self.stop = Stop(f"the lease is lost: {reason}", self._clock() + LOST_GRACE_S, ended=True, fenced=fenced)

    @property
    def good_until(self) -> float:
        """Until when the work may go on without a word of its holder, by the monotonic clock."""
        return self._vouched + self.lease.ttl_s

    @property
    def seconds_left(self) -> float:
        """Until the work is killed; only once it must stop."""
        return max(self.stop.deadline - self._clock(), 0.0) if self.stop else float("inf")

    def release(self, *, requeue: bool = False) -> str:
        """Give the lease back. What went wrong, in words: the lease then expires by itself."""
        try:
            self.pool.release(self.lease.id, self.lease.token, requeue=requeue)
        except UpdraftError as error:
            return f"{error} The lease ends by itself within {self.lease.ttl_s:.0f} s."
        return ""


class Using:
    """The lease in the hands of a task between AcquireGpu and ReleaseGpu. ``stop_wanted`` is set when the work must stop soon."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self.stop_wanted = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-lease", daemon=True)
        self._thread.start()

    def saved(self) -> None:
        """Tell the pool that the work has just been saved, whole: who has to stop for others is chosen by what that would lose."""
        self._holder.saved()

    @property
    def reason(self) -> str:
        return self._holder.stop.reason if self._holder.stop else ""

    def _run(self) -> None:
        while not self._done.wait(min(0.5, self._holder.lease.ttl_s / 8)):
            stop = self._holder.beat()
            if stop is None:
                continue
            self.stop_wanted.set()
            # Again and again: an interrupt that falls into a destructor is lost.
            if stop.ended and self._holder.seconds_left == 0 and not self._done.is_set():
                _thread.interrupt_main()
                self._done.wait(AGAIN_S)

    def close(self) -> None:
        self._done.set()
        self._thread.join()


@contextmanager
def _interruptible() -> Iterator[None]:
    """A platform that was started in the background of a script has inherited that interrupts are ignored; here they count."""
    ignored = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def use_lease(lease: Mapping[str, Any], node: str = "", pool: PoolClient | None = None) -> Iterator[Using]:
    """In a task between ``AcquireGpu`` and ``ReleaseGpu``: keeps the lease (the XCom of AcquireGpu) alive and sets the environment, for
    this process and all that it starts.

    Look at ``stop_wanted`` now and then: it is set when the pool wants the devices back. A body that goes on after the lease has ended is
    interrupted (KeyboardInterrupt in the main thread). Fails for good when the lease has ended before.
    """
    pool = pool or PoolClient.connect()
    with explained():
        try:
            held = pool.renew(str(lease["lease_id"]), int(lease["token"]))
        except LeaseLost as lost:
            raise InputError(f"the lease has ended: {lost}", where="use_lease", remedy="Clear the task that acquires it.") from None
        variables = held.environment(node)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    using = Using(Holder(pool, held))
    try:
        with _interruptible():
            yield using
    finally:
        using.close()
        for name, value in before.items():
            with suppress(KeyError):
                del os.environ[name]
            if value is not None:
                os.environ[name] = value
