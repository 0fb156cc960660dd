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
from fastapi import FastAPI

from api_shared.application import application
from api_shared.auth import service_user
from api_shared.body_limit import MOST_BYTES
from gpu_pool.api import agents, fleet, requests
from gpu_pool.api.answer import Desk, install
from gpu_pool.api.pages import pages
from gpu_pool.broker import Broker
from gpu_pool.db.store import Store
from gpu_pool.mirror import Mirror
from gpu_pool.spending import Spending
from gpu_pool.view import View
from include.errors import InputError
from include.pool.pool import Pool
from include.pool.space import POLICIES
from include.pool.state import Config
from include.pool.teams import Teams
from include.prices.table import Current
from include.runtime.settings import Settings

MAY_BE_0 = ("fair_half_life_hours", "fair_delay_s", "burst_budget_per_day", "burst_after_s", "burst_idle_s", "burst_move_s")
WORDS = {"policy": tuple(POLICIES), "overuse": ("show", "end")}
"""Settings that are no seconds, with what they may be."""
MOST_REPORT_BYTES = 1024 * 1024
TAGS = {
    "requests and leases": "Ask, wait, hold, give back.",
    "fleet": "Nodes, teams' shares, what happened, figures.",
    "agents": "Who may report nodes, and what they report.",
}


def most_bytes(path: str) -> int:
    """A report is of a whole cluster."""
    return MOST_REPORT_BYTES if "/v1/reports/" in path else MOST_BYTES


def create_app() -> FastAPI:
    """The application, with everything behind it started by its lifespan."""
    app = application(
        title="Updraft GPU pool",
        description="Who gets which GPU, now, and why.",
        routers=(requests.router, fleet.router, agents.router, pages),
        tags=TAGS,
        limits=most_bytes,
        lifespan=_lifespan,
    )
    install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One broker for each API server, from its start to its end."""
    config, teams = configured(), Teams.from_setting(conf.get("gpu_pool", "teams", fallback=""))
    store = Store(str(settings.SQL_ALCHEMY_CONN), Current(Settings.load().prices).is_spot)
    mirror = Mirror()
    spending = Spending(store, Settings.load(), service_user(), lambda: _look_again(broker))

    def after(view: View) -> None:
        mirror.show(view)
        spending.look(view)

    broker = Broker(store, lambda: Pool(config, why_not=spending.why_not), after=after)
    app.state.store, app.state.desk = store, Desk(broker, store, config.lease_ttl_s, teams)
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
        spending.stop()


def _look_again(broker: Broker) -> None:
    broker.change(lambda pool, now: pool.look_again(), lambda view, _: None)


def configured() -> Config:
    """Airflow's section ``gpu_pool``; what it doesn't say is as ``Config`` has it. Raises InputError naming the option."""
    said: dict[str, Any] = {}
    for field in fields(Config):
        text = conf.get("gpu_pool", field.name, fallback="")
        if text:
            said[field.name] = _word(field.name, text) if field.name in WORDS else _number(field.name, text)
    return Config(**said)


def _word(name: str, text: str) -> str:
    if text not in WORDS[name]:
        raise InputError(f"is {text!r:.40}.", where=f"[gpu_pool] {name}", remedy=f"Give one of: {', '.join(WORDS[name])}.")
    return text


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    unit = "hours" if name.endswith("_hours") else "money" if name.endswith("_per_day") else "seconds"
    if not (0 < value < 1e9 or (value == 0 and name in MAY_BE_0)):
        least = "0 (off) or more" if name in MAY_BE_0 else "more than 0"
        raise InputError(f"is {text!r:.40}.", where=f"[gpu_pool] {name}", remedy=f"Give {unit}, {least}.")
    return value
