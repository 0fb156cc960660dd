"""A step done by several workers: torchrun (or Ray) starts them with its environment (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, ...).

All of them live and die together: when one is killed, the others are ended, and all start again, from what they have put into
``$UPDRAFT_CHECKPOINTS``. What one of them says of itself (bad data, an exception in the model's code) ends the step with that error.

On several nodes each node runs torchrun; the first one's word counts. What Kubeflow's controllers tell a pod of its rank is in its
environment: ``PET_NODE_RANK`` and its like of torchrun, or, of older ones, ``RANK``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from include import atomic
from include.errors import ComponentError, InputError, UpdraftError
from include.steps import meeting
from include.steps.context import StepRequest
from include.steps.ending import ERROR, RESULT, read_error
from include.steps.lease import Stopped

RESTARTS = 3
"""So often a gang of one node starts again because a worker was killed. (On several, the step as a whole is tried again.)"""
SAVE_S = 60
"""Between SIGTERM and SIGKILL for workers that are to stop."""
PARENT = "UPDRAFT_PARENT"
PREFIX = "[rank ${rank}] "
RANKS, NODES, ENVIRONMENT = "ranks", "nodes", "environment.json"
LOST = "lost"
"""Kind of the error of a worker that has only seen another one go."""


def node_rank() -> int:
    """Which of the step's nodes this is; 0 where there is one."""
    older = os.environ.get("RANK") if "MASTER_ADDR" in os.environ else None
    return int(os.environ.get("PET_NODE_RANK") or older or 0)


def meets_at() -> tuple[int, ...]:
    """Return the port of the first node at which all nodes of the step meet, as Kubeflow's controllers say it; none on a single node."""
    told = os.environ.get("PET_MASTER_PORT") or os.environ.get("MASTER_PORT") or ""
    return (int(told),) if told.isdigit() else ()


def node_folder(folder: Path, rank: int | None = None) -> Path:
    """Where a node keeps what is its own: lock, log, the wish to stop. The first one's is the step's."""
    rank = node_rank() if rank is None else rank
    found = folder / NODES / str(rank) if rank else folder
    found.mkdir(parents=True, exist_ok=True)
    return found


def tell(folder: Path, environment: Mapping[str, str]) -> None:
    """Environment for the step's process that whoever may look at its job must not see."""
    atomic.write(folder / ENVIRONMENT, json.dumps(dict(environment)))


def told(folder: Path) -> dict[str, str]:
    """What :func:`tell` has left; it is gone then."""
    try:
        found: dict[str, str] = json.loads((folder / ENVIRONMENT).read_text())
    except FileNotFoundError:
        return {}
    (folder / ENVIRONMENT).unlink()
    return found


def rank_folder(folder: Path, rank: int) -> Path:
    """Where a worker puts what came of it."""
    return folder / RANKS / str(rank)


def lead(folder: Path, request: StepRequest) -> dict[str, Any]:
    """The result of rank 0, once all workers have ended well. On the first node."""
    for restart in range(RESTARTS + 1):
        if request.nodes == 1:
            shutil.rmtree(folder / RANKS, ignore_errors=True)
        ended = _launch(folder, request)
        if ended == 0:
            result: dict[str, Any] = json.loads((rank_folder(folder, 0) / RESULT).read_text())
            return result
        if error := own_error(folder):
            raise error
        if request.nodes > 1 or restart == RESTARTS:
            break
        print(f"A worker was killed: all {request.workers} start again from their checkpoints ({restart + 1} of {RESTARTS}).", flush=True)
    raise ComponentError(
        f"a worker was killed, and with it the other {request.workers - 1} (out of memory, or ended from outside).",
        where=f"step {request.step}",
        remedy="All are started again, from their checkpoints; look at the log above for the last lines of each.",
    )


def follow(folder: Path, request: StepRequest) -> int:
    """The workers of a further node: their exit status. What they have to say, the first node says."""
    return _launch(folder, request)


def own_error(folder: Path) -> UpdraftError | None:
    """What a worker said of itself: bad input before anything else, then the earliest. None when all that is known is that some went."""
    found: list[tuple[bool, float, UpdraftError]] = []
    for path in sorted((folder / RANKS).glob(f"*/{ERROR}")):
        if json.loads(path.read_text())["kind"] != LOST and (error := read_error(path)):
            found.append((not isinstance(error, InputError), path.stat().st_mtime, error))
    return min(found, key=lambda one: one[:2])[2] if found else None


def _launch(folder: Path, request: StepRequest) -> int:
    """Run this node's workers to their end. Raises Stopped when told to stop meanwhile: they have been told, and have ended."""
    _check(request)
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environment |= {PARENT: str(os.getpid()), "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE": PREFIX, "PYTHONUNBUFFERED": "1"}
    each = request.workers // request.nodes
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // each)))
    with meeting.place() as stores, _passing_on() as passing:
        if request.nodes == 1 and request.launcher == "torchrun":
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
            environment |= meeting.environment(stores)
        command = [sys.executable, "-m", "include.steps.launch", *_arguments(folder, request, each, stores)]
        passing.process = subprocess.Popen(command, env=environment, start_new_session=True)
        code = passing.process.wait()
    if passing.told:
        raise Stopped(128 + signal.SIGTERM)
    return code


def _arguments(folder: Path, request: StepRequest, each: int, stores: Path) -> list[str]:
    """What torchrun is told."""
    if request.launcher == "ray":
        return ["ray", str(folder)]
    if request.nodes == 1:
        place = [*meeting.arguments(stores), "--local-addr=127.0.0.1"]
    else:
        address, port = (os.environ.get(f"PET_{name}") or os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT"))
        place = [f"--nnodes={request.nodes}", f"--node-rank={node_rank()}", f"--master-addr={address}", f"--master-port={port}"]
    logs = ["--tee=3", f"--log-dir={node_folder(folder) / 'torchrun'}", f"--shutdown-timeout={SAVE_S}"]
    return ["torchrun", f"--nproc-per-node={each}", *place, *logs, "-m", "include.steps.worker", str(folder)]


def _check(request: StepRequest) -> None:
    """InputError when the runtime can't start workers."""
    needed = {"torchrun": "torch", "ray": "ray"}[request.launcher]
    if importlib.util.find_spec(needed) is None:
        raise InputError(
            f"{request.workers} workers need {needed}, which runtime {Path(sys.prefix).name} does not have.",
            where="model.yaml: train.workers",
            remedy="Write `train.runtime: llm`, whose requirements have torch, or leave `workers` out."
            if needed == "torch"
            else "Add ray to the image's requirements, or leave `launcher` out.",
        )


class _Passing:
    """SIGTERM on its way to the launcher."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.told = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.told:
            print("Told to stop: the workers are told.", flush=True)
        self.told = True
        if self.process is None:
            raise Stopped(128 + number)
        self.process.send_signal(number)


@contextmanager
def _passing_on() -> Iterator[_Passing]:
    passing = _Passing()
    before = signal.signal(signal.SIGTERM, passing)
    try:
        yield passing
    finally:
        signal.signal(signal.SIGTERM, before)
