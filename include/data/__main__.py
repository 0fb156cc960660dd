"""``python -m include.data restore --run RUN [--out PATH]``: the exact data that a run was trained on."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.data.snapshot import hash_of, restore
from include.data.store import DataStore
from include.errors import InputError, UpdraftError
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings
from include.runtime.whose import insist_own

MD5_TAG, NAME_TAG, RUN_KEY_TAG = "updraft.data.md5", "updraft.data.name", "updraft.run_key"
_MLFLOW_ID = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+/@-]{1,500}")
"""What Airflow allows in the id of a run; it holds nothing that would need quoting in MLflow's filter."""
_NAME_IT = "Name the MLflow run's id, or the whole id of the Airflow run."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("restore", help="write the data of a run to a file")
    command.add_argument("--run", required=True, help="id of the MLflow run, or of the Airflow run")
    command.add_argument(
        "--out", type=Path, help="file or folder to write to (default: restored/<run>/ in Updraft's home); what is there already is kept"
    )
    options = parser.parse_args(arguments)
    try:
        settings = Settings.load()
        tags = _tags(_mlflow(settings), options.run)
        if MD5_TAG not in tags:
            raise InputError(
                f"has no tag {MD5_TAG}.", where=f"run {options.run}", remedy="Its data was never snapshotted: choose another run."
            )
        out = _place(options.out, options.run, Path(tags.get(NAME_TAG, tags[MD5_TAG])).name, settings)
        if out.exists() and not (out.is_file() and hash_of(out) == tags[MD5_TAG]):
            raise InputError("is there already, and holds something else.", where=str(out), remedy="Move it away, or name another OUT.")
        print(f"{restore(tags[MD5_TAG], DataStore.of(settings), out)}: {out.stat().st_size} bytes, md5 {tags[MD5_TAG]}")
    except UpdraftError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _place(out: Path | None, run: str, name: str, settings: Settings) -> Path:
    """The file to write: each run has a folder of its own, for the data of all of a model's runs has one name."""
    if out is None:
        return settings.home / "restored" / re.sub(r"[^\w.+-]", "_", run) / name
    return out / name if out.is_dir() else out


def _mlflow(settings: Settings) -> Any:
    """The server that the environment names, else the platform's own."""
    from include.registry.mlflow import Mlflow

    if url := os.environ.get("MLFLOW_TRACKING_URI"):
        return Mlflow(url, os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    insist_own(settings, settings.mlflow_port)
    return Mlflow(settings.mlflow_url, ADMIN, Credentials.load(settings.home).mlflow_password)


def _tags(mlflow: Any, run: str) -> dict[str, str]:
    if _MLFLOW_ID.fullmatch(run):
        found: dict[str, str] = mlflow.tags(run)
        return found
    if not _RUN_ID.fullmatch(run):
        raise InputError("is no id of a run.", where=f"run {run[:80]}", remedy=_NAME_IT)
    some = _with_key(mlflow, f"tags.`{RUN_KEY_TAG}` = '{run}'") or _with_key(mlflow, f"tags.`{RUN_KEY_TAG}` LIKE '%{run}%'")
    keys = {key: tags for key, tags in some.items() if run in key}  # `_` is LIKE's wildcard
    if len(keys) != 1:
        what = "is no run that MLflow knows." if not keys else f"fits several runs: {', '.join(sorted(keys))}."
        raise InputError(what, where=f"run {run}", remedy=_NAME_IT)
    return next(iter(keys.values()))


def _with_key(mlflow: Any, condition: str) -> dict[str, dict[str, str]]:
    """Run key → tags of the runs that ``condition`` selects, in every experiment."""
    experiments = [row["experiment_id"] for row in mlflow._post("experiments/search", {"max_results": 1000}).get("experiments", [])]
    if not experiments:
        return {}
    runs = mlflow._post("runs/search", {"experiment_ids": experiments, "filter": condition, "max_results": 20}).get("runs", [])
    tags = [{tag["key"]: tag["value"] for tag in run["data"].get("tags", [])} for run in runs]
    return {each[RUN_KEY_TAG]: each for each in tags}


if __name__ == "__main__":
    sys.exit(main())
