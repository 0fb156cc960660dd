"""What a registered version needs to be served again at any time: its bundle on MLflow, with the model's code and serve options."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.backends import options
from include.errors import InputError
from include.registry.mlflow import Mlflow
from include.spec.serve import Serve

FOLDER = "bundle"
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.csv", "*.parquet", ".*")


def complete(bundle: Path, model_folder: Path, serve: Serve, params: Mapping[str, Any]) -> None:
    """Add to a verified bundle the model's code (its data stays out) and how it is served. Safe to repeat."""
    if serve.with_code:
        shutil.copytree(model_folder, bundle / "code", ignore=IGNORED, dirs_exist_ok=True)
    options.save(bundle, serve, params)


def fetch(mlflow: Mlflow, model: str, version: int, target: Path) -> Path:
    """The bundle of a registered version, from MLflow unless it is in ``target`` already; whole or not at all."""
    folder = target / model / str(version)
    if (folder / options.FILE).exists():
        return folder
    partial = folder.with_name(f".{version}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    mlflow.download(str(mlflow.version(model, version)["run_id"]), FOLDER, partial)
    if not (partial / options.FILE).exists():
        raise InputError(
            f"version {version} of {model} has no bundle on MLflow.", where=mlflow.url, remedy="Choose a version that was deployed."
        )
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder
