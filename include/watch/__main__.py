"""Watches every champion on this machine's gateway (`python -m include.watch`, run by supervisord)."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.kinds.load import find, load
from include.registry.mlflow import Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, SERVICE, Credentials
from include.runtime.settings import Settings
from include.serving.kubernetes.gateway import ClusterGateway, gateway_of
from include.serving.revisions import Revisions
from include.spec.problem import SpecError
from include.spec.schema import Spec
from include.watch.desk import Office
from include.watch.watcher import Watcher

EVERY_S = 0.5
SPECS_S = 10.0


class Specs:
    """The models' specs, read again when their files change. One that is broken counts as it was when it was whole."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._read_s = settings, -SPECS_S
        self._known: dict[str, tuple[float, Spec | None]] = {}

    def get(self, now_s: float) -> dict[str, Spec]:
        """Return the specs by model; those whose traffic a cluster's own gateway holds are left out: it tells nothing within seconds."""
        if now_s - self._read_s >= SPECS_S:
            self._read_s = now_s
            mine = [path for path in find(self._settings.models) if not self._on_a_cluster(path.parent.name)]
            self._known = {path.parent.name: self._one(path) for path in mine}
        return {name: spec for name, (_, spec) in self._known.items() if spec is not None}

    def _on_a_cluster(self, model: str) -> bool:
        return isinstance(gateway_of(self._settings, model), ClusterGateway)

    def _one(self, path: Path) -> tuple[float, Spec | None]:
        changed, (before_s, known) = path.stat().st_mtime, self._known.get(path.parent.name, (0.0, None))
        if changed == before_s:
            return changed, known
        try:
            return changed, load(path)
        except SpecError:
            return changed, known


def main() -> None:
    settings = Settings.load()
    credentials = Credentials.load(settings.home)
    api = AirflowApi(settings.airflow_url, SERVICE, credentials.airflow_passwords[SERVICE])
    mlflow = Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password)

    def say(text: str) -> None:
        print(text, flush=True)

    office = Office(api, mlflow, say)
    watcher = Watcher(Gateway(settings), Revisions(settings), office, settings.watch, say)
    threading.Thread(target=office.run, name="office", daemon=True).start()
    specs = Specs(settings)
    while True:
        try:
            watcher.round(specs.get(time.monotonic()), time.time())
        except (UpdraftError, OSError) as error:
            say(str(error))
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
