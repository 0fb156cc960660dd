"""What belongs to a platform, and where it lies in its home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from include.runtime.settings import Settings

SECRETS = ("credentials.json", "revision-key", "keys.json", "airflow/passwords.json", "prediction-log/hash.key")
"""Encrypted in a backup."""
FILES = ("usage.json", "limits.json", "budgets.json", "prices.yaml", "key_use.json", "watch.json", "with-monitoring", "with-labels")
LEDGERS = ("budgets/ledger.sqlite",)
"""Counts of budgets, which begin a log of their own when they are restored."""
SQLITE_FILES = (*LEDGERS, "label-studio/label_studio.sqlite3")
"""SQLite files of the home beside the databases: copied while they are written to."""
TREES = {
    "prediction-log": ("hash.key", "counts.json"),
    "revisions": (".locks", "scratch"),
    "observations": (),
    "dvc": (".dvc", ".lock"),
    "acts": (),
    "kubernetes": (),
    "bases": (),
    "data": (),
    "labels": (),
}
"""Folders of the home, each with the names in it that are secrets, or are made anew. Artifacts, DVC's remote and the prediction log come
after them, wherever they lie: rows that become Parquet meanwhile are then in both, and come to the same file."""
MADE_ANEW = (
    *("addresses.json", "airflow", "backup", "batch", "broken_specs", "budgets", "bundles", "code", "containers", "demo", "demo-models"),
    *("dvc-remote", "envoy", "gpu-agent", "judge", "layers", "references", "steps-host", "tensorrt", "uploads"),
    *(
        "label-studio",
        "locks",
        "logs",
        "mlflow",
        "port-base",
        "postgres",
        "predictions",
        "prometheus",
        "redis",
        "reruns",
        "restored",
        "restored-specs",
    ),
    *("restored.json", "running", "runtimes", "s3", "scale", "steps", "supervisor", "tools", "trials", "users", "users-of"),
)
"""Entries of a home that are made anew, are named among what is not in a backup, or are in it by another way than as they lie there."""
HOME, SPECS, DATABASES, STORES = "home", "specs", "databases", "stores"
"""A backup's own folders."""
REVISIONS = f"{HOME}/revisions"


@dataclass(frozen=True)
class Tree:
    """A folder that is backed up: ``name`` in the backup, ``root`` on this machine, but for what has one of the names ``without``."""

    name: str
    root: Path
    without: tuple[str, ...] = ()

    def files(self) -> Iterator[Path]:
        """Yield its files; of links, those that lead to files."""
        for folder, _, names in self._walked():
            yield from (Path(folder, name) for name in sorted(names) if name not in self.without and Path(folder, name).is_file())

    def empty(self) -> list[str]:
        """Return the names that folders have in the backup in which nothing is."""
        return [
            f"{self.name}/{Path(folder).relative_to(self.root).as_posix()}"
            for folder, folders, names in self._walked()
            if not folders and not names and Path(folder) != self.root
        ]

    def links(self) -> list[Path]:
        """Return the links that lead to folders: what is behind them is not walked through."""
        return [Path(folder, name) for folder, folders, _ in self._walked() for name in folders if Path(folder, name).is_symlink()]

    def _walked(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """Raise OSError for a folder that may not be read: left out in silence it would be missed when it is needed."""
        for folder, folders, names in os.walk(self.root, onerror=_insist):
            folders[:] = sorted(name for name in folders if name not in self.without)
            yield folder, folders, names


def unknown(home: Path) -> list[str]:
    """Return the entries of a home of which nobody has said whether they belong into a backup."""
    said = {*MADE_ANEW, *FILES, *TREES, *(name.partition("/")[0] for name in SECRETS)}
    return sorted(path.name for path in home.iterdir() if path.name not in said and path.suffix != ".lock" and path.name[:1] != ".")


def _insist(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # it is gone meanwhile, or was never there
        raise error


def stores(settings: Settings) -> dict[str, str]:
    """Return where artifacts, snapshots of data and the prediction log lie, by the name that they have in a backup."""
    return {"artifacts": settings.artifacts, "dvc-remote": settings.dvc_remote, "predictions": settings.predictions}


def trees(settings: Settings) -> list[Tree]:
    """Return all folders of this machine that belong to the platform; specs last."""
    own = [Tree(f"{HOME}/{name}", settings.home / name, without) for name, without in TREES.items()]
    elsewhere = [Tree(f"{STORES}/{name}", Path(url)) for name, url in stores(settings).items() if "://" not in url]
    return [*own, *elsewhere, Tree(SPECS, settings.models, ("__pycache__",))]
