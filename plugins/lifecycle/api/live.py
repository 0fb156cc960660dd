"""What only MLflow and the gateway know, for pages that ask every two seconds: kept for a moment, and never waited for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from airflow.models.connection import Connection

from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.registry.mlflow import Mlflow
from include.runtime import pinned
from include.runtime.settings import Settings

KEPT_S = 3.0
AWAY_S = 15.0
"""A registry that did not answer is asked again after this long."""
TIMEOUT_S = 3.0


def registry(timeout_s: float = TIMEOUT_S) -> Mlflow:
    """The MLflow that the connection ``updraft_mlflow`` names, asked once: a person waits for the page."""
    connection = Connection.get_connection_from_secrets("updraft_mlflow")
    host = pinned.insist(Settings.load(), "updraft_mlflow", str(connection.host))
    return Mlflow(host, connection.login or "", connection.password or "", timeout_s=timeout_s, retries=0)


class Aliases:
    """Every model's aliases. One thread asks the registry at a time; the others get what is known meanwhile."""

    def __init__(self, ask: Callable[[], Any] = registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock, self._lock = ask, clock, threading.Lock()
        self._known: dict[str, dict[str, int]] = {}
        self._problem, self._until = "", 0.0

    def of(self, models: Iterable[str]) -> tuple[dict[str, dict[str, int]], str]:
        """Model → alias → version, and a sentence about the registry when it does not answer (what was known before is given then)."""
        wanted = list(models)
        if self._stale(wanted) and self._lock.acquire(blocking=self._until == 0.0):
            try:
                if self._stale(wanted):  # no other thread has asked while this one waited
                    self._refresh(wanted)
            finally:
                self._lock.release()
        return {model: self._known.get(model, {}) for model in wanted}, self._problem

    def _stale(self, models: list[str]) -> bool:
        return self._clock() >= self._until or (not self._problem and any(model not in self._known for model in models))

    def _refresh(self, models: list[str]) -> None:
        try:
            found = self._ask().all_aliases()
            self._known = {model: found.get(model, {}) for model in {*found, *self._known, *models}}
            self._problem, self._until = "", self._clock() + KEPT_S
        except Exception as error:  # the page shows whatever it is: a missing connection, a server that is away
            self._problem, self._until = f"The model registry does not answer: {error}", self._clock() + AWAY_S


aliases = Aliases()


def split(model: str) -> dict[str, Any] | None:
    """The live split out of the gateway's own files; None where there is none, or no gateway on this machine."""
    return (splits() or {}).get(model)


def splits() -> dict[str, dict[str, Any]] | None:
    """The live splits of all models; None where they can't be read."""
    try:
        found = Gateway(Settings.load()).splits()
    except (UpdraftError, OSError):
        return None
    return {model: {"weights": dict(split.weights), "mirror": split.mirror} for model, split in found.items()}
