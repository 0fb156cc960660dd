"""What a registered version needs to be served again at any time: its bundle on MLflow, with the model's code and serve options."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from include.backends import options
from include.backends.backend import link_folder
from include.bundles import manifest
from include.errors import InputError
from include.registry.mlflow import Mlflow
from include.spec.serve import Serve

FOLDER = "bundle"
IGNORED = shutil.ignore_patterns(
    *("__pycache__", "*.pyc", "*.csv", "*.parquet", ".*"),
    *("*.png", "*.jpg", "*.jpeg", "*.webp", "*.bmp", "*.gif"),
    *("*.onnx", "*.onnx_data", "*.data", "*.bin", "*.pt", "*.pth", "*.safetensors"),
)
"""Data, pictures among it, and weights: what is served of them is in the bundle already."""


def complete(bundle: Path, model_folder: Path, serve: Serve, params: Mapping[str, Any]) -> None:
    """Add to a verified bundle the model's code (its data stays out) and how it is served. Safe to repeat."""
    if serve.with_code:
        shutil.copytree(model_folder, bundle / "code", ignore=_left_out, dirs_exist_ok=True)
    options.save(bundle, serve, params)


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What is no code: data, what is hidden, and what is neither a file nor a folder, such as a pipe or a socket, which can't be copied."""
    odd = {name for name in names if not (Path(folder, name).is_file() or Path(folder, name).is_dir())}
    return IGNORED(folder, names) | odd


def store(mlflow: Mlflow, run_id: str, bundle: Path) -> int:
    """Put a complete bundle among the run's artifacts, without what is there by size and digest already. Return the bytes that were sent.

    The manifest goes last: one that is there says the truth about everything else, and :func:`fetch` holds the rest to it.
    """
    there = _stored(mlflow, run_id)
    sent = 0
    for name, entry in manifest.write(bundle).items():
        if there.get(name) != entry:
            mlflow.send(run_id, f"{FOLDER}/{name}", bundle / name)
            sent += int(entry["bytes"])
    mlflow.send(run_id, f"{FOLDER}/{manifest.FILE}", bundle / manifest.FILE)
    return sent


def _stored(mlflow: Mlflow, run_id: str) -> manifest.Manifest:
    """What the run's artifacts hold of a bundle, as far as the manifest there and the sizes agree."""
    sizes = mlflow.sizes(run_id, FOLDER)
    if manifest.FILE not in sizes:
        return {}
    known = manifest.parse(mlflow.read(run_id, f"{FOLDER}/{manifest.FILE}"))
    return {name: entry for name, entry in known.items() if isinstance(entry, dict) and sizes.get(name) == entry.get("bytes")}


def keep(bundle: Path, model: str, version: int, target: Path) -> Path:
    """Put a bundle of this machine where :func:`fetch` looks for it, as links: a model is large, and need not come back from MLflow."""
    folder = target / model / str(version)
    with _one_at_a_time(folder):
        if not (folder / options.FILE).exists():
            partial = _empty(folder)
            link_folder(bundle, partial)
            partial.rename(folder)
    return folder


def fetch(mlflow: Mlflow, model: str, version: int, target: Path) -> Path:
    """Return the bundle of a registered version, from MLflow unless it is in ``target`` already; whole or not at all.

    Raises ComponentError for a bundle that is not what was registered.
    """
    folder = target / model / str(version)
    with _one_at_a_time(folder):
        if (folder / options.FILE).exists():
            return folder
        partial = _empty(folder)
        mlflow.download(str(mlflow.version(model, version)["run_id"]), FOLDER, partial)
        if not (partial / options.FILE).exists():
            raise InputError(
                f"version {version} of {model} has no bundle on MLflow.", where=mlflow.url, remedy="Choose a version that was deployed."
            )
        manifest.check(partial)
        partial.rename(folder)
    return folder


def _empty(folder: Path) -> Path:
    """A new folder beside ``folder``, which is to get its name; both are removed as far as they are there."""
    partial = folder.with_name(f".{folder.name}.partial")
    for left in (partial, folder):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two tasks may want the same version: the second one finds what the first has fetched."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        yield
