"""The FastAPI application that Airflow mounts at /gpu-pool, with the broker behind it."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

from airflow import settings
from airflow.configuration import conf
from fastapi import Depends, FastAPI

from gpu_pool.api import agents, fleet, requests
from gpu_pool.api.answer import Desk, install
from gpu_pool.api.auth import may_read
from gpu_pool.api.body_limit import BodyLimit
from gpu_pool.api.pages import pages
from gpu_pool.broker import Broker
from gpu_pool.db.store import Store
from gpu_pool.mirror import Mirror
from include.errors import InputError
from include.pool.pool import Pool
from include.pool.state import Config


def create_app() -> FastAPI:
    """Airflow does not authenticate plugin routes: each brings its own dependency, and the API's description too."""
    app = FastAPI(
        title="Updraft GPU pool",
        description="Who gets which GPU, now, and why.",
        version="1",
        openapi_url=None,
        lifespan=_lifespan,
        separate_input_output_schemas=False,
    )
    app.add_middleware(BodyLimit)
    install(app)
    for router in (requests.router, fleet.router, agents.router, pages):
        app.include_router(router)

    @app.get("/openapi.json", dependencies=[Depends(may_read)], include_in_schema=False)
    def description() -> dict[str, Any]:
        return app.openapi()

    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One broker for each API server, from its start to its end."""
    config = configured()
    store = Store(str(settings.SQL_ALCHEMY_CONN))
    mirror = Mirror()
    broker = Broker(store, lambda: Pool(config), after=mirror.show)
    app.state.store, app.state.desk = store, Desk(broker, store, config.lease_ttl_s)
    broker.start()
    # What Airflow has loaded by now lives as long as the server: a full collection that walks it all stops every request for 0.3 s.
    gc.collect()
    gc.freeze()
    # The broker waits for the database some six times a batch, and each time for its turn behind the event loop: 5 ms by default.
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        broker.stop()
        mirror.stop()


def configured() -> Config:
    """Airflow's section ``gpu_pool``; what it doesn't say is as ``Config`` has it. Raises InputError naming the option."""
    said: dict[str, Any] = {}
    for field in fields(Config):
        text = conf.get("gpu_pool", field.name, fallback="")
        if text:
            said[field.name] = text if field.name == "policy" else _seconds(field.name, text)
    return Config(**said)


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise InputError(f"is {text!r:.40}.", where=f"[gpu_pool] {name}", remedy="Give seconds, more than 0.")
    return value
