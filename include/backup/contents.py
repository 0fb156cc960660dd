"""What belongs to a platform, and where it lies in its home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from include.runtime.settings import Settings

SECRETS = ("credentials.json", "revision-key", "keys.json", "airflow/passwords.json", "prediction-log/hash.key")
"""Encrypted in a backup."""
FILES = ("usage.json", "limits.json", "budgets.json", "prices.yaml", "key_use.json", "watch.json", "with-monitoring")
TREES = ("prediction-log", "revisions", "observations", "dvc", "bases", "data")
"""Folders of the home. Artifacts, DVC's remote and the prediction log come after them, wherever they lie: rows that become Parquet
meanwhile are then in both, and come to the same file."""
PASSED_OVER = (".locks", "scratch", "tmp", "__pycache__", ".work", ".dvc")
"""Folders of them that hold what is made anew."""
NOT_KEPT = (".lock", ".key", ".part", "counts.json")
"""Endings of files that are no state, or secrets."""
HOME, SPECS, DATABASES, STORES = "home", "specs", "databases", "stores"
"""A backup's own folders."""


@dataclass(frozen=True)
class Tree:
    """A folder that is backed up: ``name`` in the backup, ``root`` on this machine."""

    name: str
    root: Path


def stores(settings: Settings) -> dict[str, str]:
    """Return where artifacts, snapshots of data and the prediction log lie, by the name that they have in a backup."""
    return {"artifacts": settings.artifacts, "dvc-remote": settings.dvc_remote, "predictions": settings.predictions}


def trees(settings: Settings) -> list[Tree]:
    """Return all folders of this machine that belong to the platform."""
    own = [Tree(f"{HOME}/{name}", settings.home / name) for name in TREES]
    elsewhere = [Tree(f"{STORES}/{name}", Path(url)) for name, url in stores(settings).items() if "://" not in url]
    return [*own, *elsewhere]


def files_below(root: Path) -> Iterator[Path]:
    """Yield the files below a folder, but for what is made anew; of links, those that lead to files."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not name.endswith(NOT_KEPT):
                yield path
