"""Which files hold what of a platform's logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.runtime.settings import Settings

GATEWAY = "gateway"
_REVISION = re.compile(r"revision-(?P<model>[a-z][a-z0-9_]*)-(?P<revision>\d+)\.log")
_TASK = re.compile(
    r"dag_id=(?P<dag>[^/]+)/run_id=(?P<run>[^/]+)/task_id=(?P<task>[^/]+)/(?:map_index=-?\d+/)?attempt=(?P<attempt>\d+)\.log"
)


@dataclass(frozen=True)
class LogFile:
    """One log: ``paths`` are it and what was rotated away of it, the oldest first. ``model``: whose alone it is; "" for one of all."""

    source: str
    paths: tuple[Path, ...]
    model: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def files(settings: Settings) -> Iterator[LogFile]:
    """Yield every log of the platform."""
    for path in sorted(settings.logs.glob("*.log")):
        paths = (*_rotated(path), path)
        if path == settings.gateway_log:
            yield LogFile(GATEWAY, paths)
        elif found := _REVISION.fullmatch(path.name):
            yield LogFile(path.stem, paths, found["model"], {"model": found["model"], "revision": found["revision"]})
        else:
            yield LogFile(path.stem, paths)
    tasks = settings.logs / "airflow"
    for path in sorted(tasks.glob("dag_id=*/run_id=*/task_id=*/**/attempt=*.log")):
        if found := _TASK.fullmatch(path.relative_to(tasks).as_posix()):
            name = f"{found['dag']}.{found['task']}"
            yield LogFile(name, (path,), found["dag"].rpartition("_")[0], {"run_id": found["run"], "try": int(found["attempt"])})


def _rotated(path: Path) -> list[Path]:
    found = [one for one in path.parent.glob(f"{path.name}.*") if one.suffix[1:].isdigit()]
    return sorted(found, key=lambda one: -int(one.suffix[1:]))
