"""A trial's looks as the plugin's API gives them, however many they are."""

from __future__ import annotations

from typing import Any, Protocol

AT_ONCE = 10_000
"""So many looks the API gives in one answer."""


class Api(Protocol):
    """Of :class:`include.runtime.airflow_api.AirflowApi`, what is used here."""

    def get(self, path: str, **kwargs: Any) -> Any: ...


def kept(api: Api, run_key: str, start: int = 0) -> list[dict[str, Any]]:
    """Return all looks of a run that are kept, in order, from number ``start`` on. Raises as the API's client does."""
    found: list[dict[str, Any]] = []
    while True:
        page = api.get("/lifecycle/v1/looks", params={"run_key": run_key, "start": start + len(found)})
        found += page
        if len(page) < AT_ONCE:
            return found
