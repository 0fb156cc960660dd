"""Clients of a served pool, without a login of their own."""

from __future__ import annotations

from gpu_pool.client import PoolClient
from include.runtime.airflow_api import AirflowApi
from tests.plugins.gpu_pool.api.conftest import Fleet


def client_of(fleet: Fleet, user: str = "olaf") -> PoolClient:
    api = AirflowApi(fleet.served.url, user, "", timeout_s=10)
    api._token = fleet.served.tokens[user]
    return PoolClient(api)


def away() -> PoolClient:
    """Nobody listens there."""
    api = AirflowApi("http://127.0.0.1:1", "olaf", "", timeout_s=1)
    api._token = "none"
    return PoolClient(api)
