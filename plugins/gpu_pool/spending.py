"""Looks from time to time whose budget of GPU-hours is used up, so that the pool begins nothing new of theirs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from gpu_pool.db.store import Store
from gpu_pool.db.uses import between
from gpu_pool.view import View
from include.cost.gpu_budget import Of, hours_of, used_up, why_not
from include.cost.month import Month
from include.gateway import budgets
from include.pool.state import Request
from include.runtime.settings import Settings

EVERY_S = 5.0
LOG = logging.getLogger(__name__)


class Spending:
    """``why_not`` is the pool's question; ``look``, called by the broker after every batch, has the answer looked for anew."""

    def __init__(self, store: Store, settings: Settings, service: str, changed: Callable[[], None]) -> None:
        self._store, self._settings, self._service, self._changed = store, settings, service, changed
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpu-pool-spending")
        self._used_up: Mapping[Of, str] = {}
        self._looked_at = 0.0

    def why_not(self, request: Request) -> str:
        """Say why the request may not begin now, "" if it may."""
        return why_not(self._used_up, request.key, request.ask.team, service=request.holder == self._service)

    def look(self, view: View) -> None:
        """Have it looked for, in a thread of its own: leases don't wait for that."""
        if not 0 <= view.now - self._looked_at < EVERY_S:
            self._looked_at = view.now
            self._thread.submit(self._look)

    def stop(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _look(self) -> None:
        try:
            found = self.find(time.time())
        except Exception as error:  # a file that can't be read, a database that is away: what was known holds on
            LOG.warning("GPU pool: budgets can't be looked at: %s", error)
            return
        before, self._used_up = self._used_up, found
        if before.keys() != found.keys():
            self._changed()

    def find(self, now: float) -> Mapping[Of, str]:
        """Return whose budget is used up now, and why nothing of theirs may begin."""
        known = [budget for budget in budgets.read(self._settings.budgets).values() if budget.gpu_hours is not None]
        if not known:
            return {}
        month = Month.of(now)
        with self._store.reading() as connection:
            return used_up(known, hours_of(between(connection, month.begin, month.end), month, now), month)
