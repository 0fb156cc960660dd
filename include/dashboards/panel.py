"""A dashboard and its panels, in Grafana's JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS, WIDTH, HEIGHT = 3, 8, 8
"""Grafana's grid has 24 columns."""
SCHEMA = 39
"""Of Grafana 10 and 11; later ones read it, too."""
SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True)
class Query:
    """What is asked of Prometheus, and what its series are called (Grafana's ``{{label}}``)."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture: ``unit`` as Grafana names it; ``bars``: from which value it is amber, and red; ``kind``: timeseries or stat."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    about: str = ""
    bars: tuple[float, ...] = ()
    kind: str = "timeseries"

    def to_json(self, number: int) -> dict[str, Any]:
        """Return the panel as the ``number``-th of its dashboard."""
        colours = ("green", "orange", "red")
        steps = [{"color": colour, "value": value} for colour, value in zip(colours, (None, *self.bars), strict=False)]
        place = {"h": HEIGHT, "w": WIDTH, "x": number % COLUMNS * WIDTH, "y": number // COLUMNS * HEIGHT}
        shown = {"thresholdsStyle": {"mode": "dashed"}} if self.bars and self.kind == "timeseries" else {}
        return {
            "id": number + 1,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": SOURCE,
            "gridPos": place,
            "fieldConfig": {
                "defaults": {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}, "custom": shown},
                "overrides": [],
            },
            "options": {},
            "targets": [
                {"refId": chr(ord("A") + at), "expr": query.expression, "legendFormat": query.legend, "datasource": SOURCE}
                for at, query in enumerate(self.queries)
            ],
        }


@dataclass(frozen=True)
class Dashboard:
    """One page. ``uid`` is part of its address."""

    uid: str
    title: str
    panels: Sequence[Panel]

    def to_json(self) -> dict[str, Any]:
        """Return the page as Grafana imports it; where it is imported, it asks for the data source."""
        source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus", "current": {}, "hide": 0}
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["updraft"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "templating": {"list": [source]},
            "annotations": {"list": []},
            "panels": [panel.to_json(number) for number, panel in enumerate(self.panels)],
        }
