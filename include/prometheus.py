"""Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

Labels = tuple[tuple[str, str], ...]
Series = Mapping[Labels, float]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metric(name: str, kind: Literal["gauge", "counter"], about: str, series: Series) -> list[str]:
    """Lines of one metric: what it is about, and its value under each set of labels."""
    lines = [f"{name}{_braced(labels)} {value:.15g}" for labels, value in series.items()]
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *lines]


def _braced(labels: Iterable[tuple[str, str]]) -> str:
    said = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels)
    return f"{{{said}}}" if said else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
