"""Grafana's dashboards, as JSON that code writes: `python -m include.dashboards`."""
