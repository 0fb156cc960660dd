"""What Airflow loads: the lifecycle's REST API and pages, its links, and the check of a run's params at the trigger."""

from __future__ import annotations

import sys
from typing import Any

from airflow.plugins_manager import AirflowPlugin


def _serving_api() -> bool:
    """Whether this process is the API server: only there is the application built (its imports are not free)."""
    return "api-server" in sys.argv or any("uvicorn" in argument or "gunicorn" in argument for argument in sys.argv[:1])


def _fastapi_apps() -> list[dict[str, Any]]:
    from lifecycle.api.app import create_app

    return [{"app": create_app(), "url_prefix": "/lifecycle", "name": "Updraft lifecycle"}]


def _middlewares() -> list[dict[str, Any]]:
    from lifecycle.api.trigger_check import TriggerCheck

    return [{"middleware": TriggerCheck, "name": "Updraft trigger check"}]


PAGES = [{"name": "Models", "href": "/lifecycle/ui", "destination": "nav", "url_route": "lifecycle"}]


class LifecyclePlugin(AirflowPlugin):
    name = "updraft_lifecycle"
    fastapi_apps = _fastapi_apps() if _serving_api() else []
    fastapi_root_middlewares = _middlewares() if _serving_api() else []
    external_views = PAGES
