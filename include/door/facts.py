"""What the door asks MLflow about runs and models, with the platform's login. What never changes is asked once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from include.errors import InputError
from include.registry.mlflow import Mlflow

KEPT = 2000
"""So many runs and models are remembered."""


class MlflowFacts:
    """:class:`include.door.rules.Facts` of one server. LookupError for what it does not have, ComponentError when it is away."""

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow
        self._known: OrderedDict[tuple[str, ...], Mapping[str, Any]] = OrderedDict()
        self._lock = Lock()

    def run(self, run_id: str) -> Mapping[str, Any]:
        return self._once(("run", run_id), lambda: self._mlflow.run(run_id)["info"])

    def now(self, run_id: str) -> tuple[str, Mapping[str, str]]:
        """Asked each time: a run ends."""
        try:
            run = self._mlflow.run(run_id)
        except InputError as refused:
            raise LookupError(str(refused)) from None
        return str(run["info"]["status"]), {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}

    def model(self, model_id: str) -> Mapping[str, Any]:
        return self._once(("model", model_id), lambda: self._mlflow.logged_model(model_id))

    def version(self, name: str, version: str) -> Mapping[str, Any]:
        return self._once(("version", name, version), lambda: self._mlflow.version(name, int(version)))

    def alias(self, name: str, alias: str) -> str:
        """Asked each time: an alias moves."""
        aliases = self._mlflow.aliases(name)
        if alias not in aliases:
            raise LookupError(alias)
        return str(aliases[alias])

    def _once(self, key: tuple[str, ...], ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        try:
            found = ask()
        except InputError as refused:
            raise LookupError(str(refused)) from None
        with self._lock:
            self._known[key] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found
