"""Runs step folders in the trainer runtime, one forked process each: libraries are imported once, no step sees another's state.

Started by the conftest beside this file. Reads a folder a line, answers the step's exit code a line.
"""

import os
import sys
from pathlib import Path

import mlflow.onnx
import mlflow.sklearn
import onnxruntime.quantization
import pandas
import skl2onnx
import sklearn.ensemble
import skops.io

from include.steps.__main__ import main

LOADED = (mlflow.onnx, mlflow.sklearn, onnxruntime.quantization, pandas, skl2onnx, skops.io, sklearn.ensemble)


def child(folder: Path, environment: dict[str, str]) -> None:
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(environment)
    code = 70
    try:
        code = main(folder)
    finally:
        sys.stdout.flush()
        os._exit(code)


print("ready", flush=True)
for line in sys.stdin:
    folder, *pairs = line.rstrip("\n").split("\t")
    pid = os.fork()
    if pid == 0:
        child(Path(folder), dict(pair.split("=", 1) for pair in pairs))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
