"""Runs one step's body: ``python -m include.steps FOLDER``, where FOLDER holds request.json.

Writes result.json, or error.json with the sentence for the user; either appears whole or not at all. Of a step on several nodes this runs
on each of them, in a folder of the node's own.

``python -m include.steps run FOLDER`` is for people: :mod:`include.steps.rerun`.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path
from typing import Any

from include.errors import ComponentError
from include.steps import ending, gang, lease
from include.steps.body import body
from include.steps.context import StepContext, StepRequest


def main(folder: Path) -> int:
    with (gang.node_folder(folder) / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("This step is running already; leaving it alone.")
            return 75
        return _run(folder)


def _run(folder: Path) -> int:
    request = StepRequest.read(folder)
    lease.watch(folder, lambda reason: ending.write_error(folder, ComponentError(reason, where="GPU")))
    if gang.node_rank():
        return gang.follow(folder, request)
    return ending.settle(folder, request.step, lambda: _work(folder, request))


def _work(folder: Path, request: StepRequest) -> dict[str, Any]:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    started = time.time()
    if request.shared:
        result = gang.lead(folder, request)
    else:
        do = body(request.step).run
        # Libraries write beside themselves, as CatBoost does by default: where a step starts, nothing may be written.
        if (tmp := folder.absolute() / "tmp").is_dir():
            os.chdir(tmp)
        result = do(StepContext(request, out))
    return result | {"work_s": round(time.time() - started, 3)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        from include.steps.rerun import run

        sys.exit(run(sys.argv[2:]))
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    sys.exit(main(Path(sys.argv[1]).absolute()))
