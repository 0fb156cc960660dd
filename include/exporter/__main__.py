"""Runs the exporter on loopback: ``python -m include.exporter``."""

from __future__ import annotations

import sys

import uvicorn

from include.errors import spoken
from include.exporter.server import app
from include.exporter.sources import Sources
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings


@spoken
def main() -> int:
    settings = Settings.load()
    credentials = Credentials.load(settings.home)
    served = app(Sources(settings, credentials), credentials.exporter_token, f"{settings.host}:{settings.exporter_port}")
    uvicorn.run(served, host=settings.host, port=settings.exporter_port, log_level="warning", access_log=False, server_header=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
