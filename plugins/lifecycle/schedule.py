"""When a model's lifecycle runs: by the clock, and when an asset of Airflow's is updated."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable

from include.spec.schema import Spec


def data_asset(model: str) -> Asset:
    """Return the asset that a model's data stand for: whoever updates it starts the model's lifecycle, if the spec's `on` says anything."""
    return Asset(name=f"{model}_data", uri=f"updraft://{model}/data")


def schedule(spec: Spec) -> Any:
    """Return what the spec's `schedule` and `on` come to, as a DAG takes it."""
    if not spec.on.anything:
        return spec.schedule
    assets = AssetAny(data_asset(spec.name), *(Asset(name) for name in spec.on.assets))
    if spec.schedule is None:
        return assets
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(spec.schedule, timezone="UTC"), assets=assets)
