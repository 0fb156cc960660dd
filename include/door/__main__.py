"""Runs the door: ``python -m include.door [HOST PORT]``. By default at the platform's own place, with its credentials.

In a container of its own: ``UPDRAFT_DOOR_SECRET`` (that of the connection ``updraft_door``), and ``MLFLOW_TRACKING_URI``,
``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD`` of the MLflow behind it.
"""

from __future__ import annotations

import os
import sys

import uvicorn

from include.door.server import app
from include.registry.mlflow import Mlflow
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.reuse_port import bound
from include.runtime.settings import Settings

KEEP_ALIVE_S = 75
SECRET = "UPDRAFT_DOOR_SECRET"


def behind(settings: Settings) -> tuple[Mlflow, str]:
    """The MLflow behind the door, and what tokens are signed with."""
    if secret := os.environ.get(SECRET):
        login = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
        return Mlflow(os.environ["MLFLOW_TRACKING_URI"], *login), secret
    credentials = Credentials.load(settings.home)
    return Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password), credentials.door_secret


def main(arguments: list[str]) -> int:
    settings = Settings.load()
    host, port = (arguments[0], int(arguments[1])) if len(arguments) > 1 else (settings.host, settings.mlflow_door_port)
    options = uvicorn.Config(
        app(*behind(settings)),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(options).run(sockets=[bound(host, port)])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
