"""What Airflow loads: the lifecycle's REST API and pages, its links, the check of a run's params at the trigger, and the guard of
the platform's own connections."""

from __future__ import annotations

from typing import Any

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from include.platform.serving_api import serving_api


def _fastapi_apps() -> list[dict[str, Any]]:
    from lifecycle.api.app import create_app
    from lifecycle.api.serving.app import create_app as create_serving

    return [
        {"app": create_app(), "url_prefix": "/lifecycle", "name": "Updraft lifecycle"},
        {"app": create_serving(), "url_prefix": "/serving", "name": "Updraft serving"},
    ]


def _middlewares() -> list[dict[str, Any]]:
    from lifecycle.api.connection_guard import ConnectionGuard
    from lifecycle.api.description_guard import DescriptionGuard
    from lifecycle.api.result_guard import ResultGuard
    from lifecycle.api.trigger_check import TriggerCheck

    return [
        {"middleware": TriggerCheck, "name": "Updraft trigger check"},
        {"middleware": ConnectionGuard, "name": "Updraft connection guard"},
        {"middleware": ResultGuard, "name": "Updraft result guard"},
        {"middleware": DescriptionGuard, "name": "Updraft description guard"},
    ]


def _icon(name: str) -> dict[str, str]:
    return {"icon": f"/lifecycle/ui/{name}.svg", "icon_dark_mode": f"/lifecycle/ui/{name}-dark.svg"}


def _new_model() -> list[dict[str, Any]]:
    """The page by which operators make models, unless `[lifecycle] new_model` switches it off."""
    page = {"name": "New model", "href": "/lifecycle/new-model", "destination": "nav", "url_route": "new-model", "category": "Updraft"}
    return [page | _icon("new_model")] if conf.getboolean("lifecycle", "new_model", fallback=True) else []


PAGES: list[dict[str, Any]] = [
    {"name": "Models", "href": "/lifecycle/ui", "destination": "nav", "url_route": "lifecycle", "nav_top_level": True, **_icon("models")},
    {
        "name": "Serving",
        "href": "/lifecycle/serving",
        "destination": "nav",
        "url_route": "serving",
        "nav_top_level": True,
        **_icon("serving"),
    },
    {"name": "Usage", "href": "/lifecycle/usage", "destination": "nav", "url_route": "usage", "category": "Updraft", **_icon("usage")},
    {"name": "Cost", "href": "/lifecycle/cost", "destination": "nav", "url_route": "cost", "category": "Updraft", **_icon("cost")},
    {"name": "Audit", "href": "/lifecycle/audit", "destination": "nav", "url_route": "audit", "category": "Updraft", **_icon("report")},
    {"name": "Model", "href": "/lifecycle/model?dag={DAG_ID}", "destination": "dag", "url_route": "model", **_icon("models")},
    {
        "name": "Report",
        "href": "/lifecycle/run?dag={DAG_ID}&run={RUN_ID}",
        "destination": "dag_run",
        "url_route": "report",
        **_icon("report"),
    },
    *_new_model(),
]


class LifecyclePlugin(AirflowPlugin):
    name = "updraft_lifecycle"
    fastapi_apps = _fastapi_apps() if serving_api() else []
    fastapi_root_middlewares = _middlewares() if serving_api() else []
    external_views = PAGES
