"""The platform's own figures in Prometheus' text format: who serves, what is up, what fills, what ends."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from include import prometheus
from include.prometheus import Series


@dataclass(frozen=True)
class Platform:
    """What was found at one moment. ``champions``: model and revision with most traffic → whether the gateway has a healthy server of it;
    None where the gateway does not answer. ``components``: of Airflow, each with its health. ``disks``: folder → free and all bytes.
    ``certificates``: name → when it ends (seconds since the epoch), None for one that cannot be read. ``budget_usd``: of a day.
    """

    champions: Mapping[tuple[str, str], bool] | None
    components: Mapping[str, bool]
    disks: Mapping[str, tuple[int, int]]
    certificates: Mapping[str, float | None]
    budget_usd: float | None = None

    def text(self) -> str:
        """Return it in Prometheus' text format. What is not known has no series: it is no 0."""
        champions: Series = {(("model", model), ("revision", revision)): up for (model, revision), up in (self.champions or {}).items()}
        ends: Series = {(("name", name),): at for name, at in self.certificates.items() if at is not None}
        parts: list[tuple[str, str, Series]] = [
            ("gateway_up", "1 if the gateway answers.", {(): self.champions is not None}),
            ("champion_up", "1 if the revision that has most of a model's traffic is healthy.", champions),
            (
                "airflow_component_up",
                "1 if the component reports itself.",
                {(("component", name),): up for name, up in self.components.items()},
            ),
            ("disk_free_bytes", "Free for this user.", {(("folder", name),): free for name, (free, _) in self.disks.items()}),
            ("disk_size_bytes", "Free and used.", {(("folder", name),): size for name, (_, size) in self.disks.items()}),
            ("certificate_ends_seconds", "End of the certificate, since the epoch.", ends),
            (
                "certificate_readable",
                "1 if the file is one.",
                {(("name", name),): at is not None for name, at in self.certificates.items()},
            ),
            ("budget_usd_per_day", "What language models may cost.", {} if self.budget_usd is None else {(): self.budget_usd}),
        ]
        lines = [line for name, about, series in parts if series for line in prometheus.metric(f"updraft_{name}", "gauge", about, series)]
        return "\n".join(lines) + "\n"


def champions(splits: Mapping[str, Mapping[str, int]], healthy: Mapping[str, int]) -> dict[tuple[str, str], bool]:
    """Return model and revision of each champion, and whether it is healthy. Pure.

    ``splits``: model → revision → percent; ``healthy``: cluster, as ``model-revision`` → healthy servers. The one with most traffic counts
    as champion, of two with the same the older; a canary has less until it is promoted.
    """
    found = {}
    for model, weights in splits.items():
        if weights:
            revision = min(weights, key=lambda name: (-weights[name], len(name), name))
            found[model, revision] = healthy.get(f"{model}-{revision}", 0) > 0
    return found


def disks(folders: Mapping[str, Path]) -> dict[str, tuple[int, int]]:
    """Return free and all bytes of the disk of each folder that is there."""
    found = {}
    for name, folder in folders.items():
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            continue
        found[name] = (usage.free, usage.total)
    return found


def certificate_end(path: Path) -> float | None:
    """Return when the first certificate of a PEM file ends (seconds since the epoch); None when there is none to be read."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None
