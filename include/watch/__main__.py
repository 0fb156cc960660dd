"""Watches every champion on this machine's gateway (`python -m include.watch`, run by supervisord)."""

from __future__ import annotations

import threading
import time

from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.kinds.known import Specs
from include.registry.mlflow import Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, SERVICE, Credentials
from include.runtime.settings import Settings
from include.serving.kubernetes.gateway import ClusterGateway, gateway_of
from include.serving.revisions import Revisions
from include.watch.desk import Office
from include.watch.watcher import Watcher

EVERY_S = 0.5


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
    # A cluster's own gateway tells nothing within seconds.
    specs = Specs(settings.models, lambda model: not isinstance(gateway_of(settings, model), ClusterGateway))
    while True:
        try:
            watcher.round(specs.get(time.monotonic()), time.time())
        except (UpdraftError, OSError) as error:
            say(str(error))
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
