"""Runs one step's body: ``python -m include.steps FOLDER``, where FOLDER holds request.json.

Writes result.json, or error.json with the sentence for the user; either appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import InputError, UpdraftError
from include.steps import lease
from include.steps.context import Request, StepContext


def main(folder: Path) -> int:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("This step is running already; leaving it alone.")
            return 75
        return _run(folder)


def _run(folder: Path) -> int:
    request = Request.read(folder)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    started = time.time()
    lease.watch(folder, lambda reason: _write(folder / "error.json", {"kind": "component", "what": reason, "where": "GPU", "remedy": ""}))
    try:
        body = importlib.import_module(f"include.steps.{request.step}")
        result = body.run(StepContext(request, out))
        _write(folder / "result.json", result | {"work_s": round(time.time() - started, 3)})
    except UpdraftError as error:
        kind = "input" if isinstance(error, InputError) else "component"
        print(f"{type(error).__name__}: {error}", flush=True)
        _write(folder / "error.json", {"kind": kind, "what": error.what, "where": error.where, "remedy": error.remedy})
        return 1
    except MemoryError:
        _write(
            folder / "error.json",
            {"kind": "input", "what": "out of memory.", "where": f"step {request.step}", "remedy": "Use less data or a smaller model."},
        )
        return 1
    except Exception as error:  # the last net: a bug here must still end in a sentence, with its traceback in the log
        traceback.print_exc()
        what = f"failed unexpectedly: {type(error).__name__}: {error}"
        _write(
            folder / "error.json",
            {"kind": "component", "what": what, "where": f"step {request.step}", "remedy": "The traceback is in the log."},
        )
        return 1
    return 0


def _write(path: Path, value: dict[str, Any]) -> None:
    atomic.write(path, json.dumps(value, indent=1, default=str))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
