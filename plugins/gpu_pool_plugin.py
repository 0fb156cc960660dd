"""What Airflow loads of the GPU pool: its REST API with the page, and its link in the navigation."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from include.platform.serving_api import serving_api


def _fastapi_apps() -> list[dict[str, Any]]:
    from gpu_pool.api.app import create_app

    return [{"app": create_app(), "url_prefix": "/gpu-pool", "name": "Updraft GPU pool"}]


PAGES = [
    {
        "name": "GPUs",
        "href": "/gpu-pool/ui",
        "destination": "nav",
        "url_route": "gpu-pool",
        "nav_top_level": True,
        "icon": "/gpu-pool/ui/gpus.svg",
        "icon_dark_mode": "/gpu-pool/ui/gpus-dark.svg",
    }
]


class GpuPoolPlugin(AirflowPlugin):
    name = "updraft_gpu_pool"
    fastapi_apps = _fastapi_apps() if serving_api() else []
    external_views = PAGES
