"""``python -m include.steps run FOLDER``: a run's step once more, in the foreground, on a copy of its request.

FOLDER is the step's folder, which the task's log names. The model's code is the one that lies there now, so that it can be changed and
tried; the data and the earlier steps' results are the run's. The run itself, its MLflow run and production see nothing of it: what the
step logs goes to an MLflow store in the copy's folder. It runs with the rights of whoever calls it, without a lease (and without a GPU,
unless CUDA_VISIBLE_DEVICES is set).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from include.errors import InputError, UpdraftError
from include.runtime.settings import PRIVATE, REPO, Settings
from include.runtime.untrusted import text
from include.steps.context import StepRequest
from include.steps.ending import ERROR, RESULT

REQUEST, RUNTIME, OUT = "request.json", "runtime", "out"


def run(argv: Sequence[str]) -> int:
    """Run the step; the exit status: 0 when it came to a result."""
    parser = argparse.ArgumentParser(prog="python -m include.steps run", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="the step's folder, or its request.json")
    parser.add_argument("--into", type=Path, help="folder for the copy and what comes of it. Default: below .updraft/reruns")
    parser.add_argument("--runtime", help="environment to run in. Default: the run's")
    arguments = parser.parse_args(argv)
    os.umask(PRIVATE)
    try:
        settings = Settings.load()
        source = arguments.folder.parent if arguments.folder.name == REQUEST else arguments.folder
        request = _request(source)
        into = _emptied((arguments.into or settings.home / "reruns" / request.step).resolve())
        python = _python(settings, arguments.runtime or text(source / RUNTIME) or "")
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 2
    request.save(into)
    print(f"Step {request.step} of {request.run_key}, in {python.parent.parent.name}, in {into}", flush=True)
    code = subprocess.run([str(python), "-m", "include.steps.alone", str(into)], cwd=REPO, env=_environment(into), check=False).returncode
    print(f"Its result is in {into / RESULT}, its files are in {into / OUT}." if not code else f"It failed: {into / ERROR}.")
    return code


def _request(folder: Path) -> StepRequest:
    try:
        return StepRequest.read(folder)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"holds no step's request ({type(error).__name__}).",
            where=str(folder),
            remedy='Give the folder that the task\'s log names ("Step ... runs as ...; its files are in ...").',
        ) from None


def _emptied(into: Path) -> Path:
    """The folder, new. What another call has left there goes; anything else stays, and is refused."""
    if into.exists() and any(into.iterdir()):
        if not (into / REQUEST).exists() or (into / RUNTIME).exists():  # a run's own step keeps its runtime beside its request
            raise InputError("is not empty, and no copy of a step.", where=f"--into {into}", remedy="Name a new folder.")
        shutil.rmtree(into)
    for name in ("", OUT, "tmp", "checkpoints"):
        (into / name).mkdir(parents=True, exist_ok=True)
    return into


def _python(settings: Settings, runtime: str) -> Path:
    if not runtime:
        raise InputError("the step's folder doesn't say which runtime it ran in.", where="--runtime", remedy="Name it: --runtime trainer.")
    python = settings.python(runtime)
    if not python.exists():
        raise InputError(f"runtime {runtime} is not installed.", where="--runtime", remedy=f"Run `make install-{runtime}`.")
    return python


def _environment(into: Path) -> dict[str, str]:
    return {
        "CUDA_VISIBLE_DEVICES": "",  # a device that no lease gives is another's
        **os.environ,
        "PYTHONPATH": str(REPO),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(into / "tmp"),
        "UPDRAFT_CHECKPOINTS": str(into / "checkpoints"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{into / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
