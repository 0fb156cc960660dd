"""Runs step folders in a runtime, one forked process each: libraries are imported once, no step sees another's state.

Started by the conftest beside this file with the modules to import. Reads a line a step: a number, the step's folder, variables; answers a
line each: the number and the step's exit code, so that who has given up waiting for one takes no later answer for another's.
"""

import importlib
import os
import sys
from pathlib import Path

from include.steps.__main__ import main


def child(folder: Path, environment: dict[str, str]) -> None:
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(":"))  # Python itself has read it already
    code = 70
    try:
        code = main(folder)
    finally:
        sys.stdout.flush()
        os._exit(code)


for module in sys.argv[1:]:
    importlib.import_module(module)
print("ready", flush=True)
for line in sys.stdin:
    number, folder, *pairs = line.rstrip("\n").split("\t")
    pid = os.fork()
    if pid == 0:
        child(Path(folder), dict(pair.split("=", 1) for pair in pairs))
    print(number, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
