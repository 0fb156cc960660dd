"""A step's workers on a Ray cluster: one actor each, all placed at once or none (a placement group). In the job that Ray runs.

Ray's own TorchTrainer would open the process group itself, so that code which runs under torchrun would not run there. What is taken from
Ray is what torchrun lacks: where the workers run.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from include.steps import gang
from include.steps.context import StepRequest

LOOK_S = 1.0


class Worker:
    """An actor: one process with torchrun's environment."""

    def __init__(self, environment: Mapping[str, str], code: str) -> None:
        self._environment, self._code = dict(environment), code
        self._process: subprocess.Popen[bytes] | None = None

    def where(self) -> tuple[str, int]:
        """Its node's address, and a port that is free there."""
        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), int(probe.getsockname()[1])

    def run(self, folder: str, rank: int, world: int, master: tuple[str, int]) -> int:
        """The process's exit status; what it prints is printed here, with its rank."""
        mine: dict[str, object] = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, gang.PARENT: os.getpid()}
        mine |= {"MASTER_ADDR": master[0], "MASTER_PORT": master[1]}
        devices = {name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES",) if name in os.environ}
        environment = self._environment | devices | {name: str(value) for name, value in mine.items()}
        command = [sys.executable, "-m", "include.steps.worker", folder]
        process = self._process = subprocess.Popen(
            command, env=environment, cwd=self._code, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            print(f"[rank {rank}] {line.decode(errors='replace')}", end="", flush=True)
        return process.wait()

    def stop(self) -> None:
        """SIGTERM now, SIGKILL when it has had its time."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(gang.SAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()


def main(folder: Path) -> int:
    """0 when all workers have ended well. When one has not, the others are told to stop."""
    os.environ |= {"RAY_COLOR_PREFIX": "0", "RAY_DEDUP_LOGS": "0"}
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    request = StepRequest.read(folder)
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        told.set()

    signal.signal(signal.SIGTERM, stop)
    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), logging_level="warning")
    needs = {"CPU": 1.0} | ({"GPU": request.gpus} if request.gpus else {})
    group = ray.util.placement_group([needs] * request.workers, strategy="PACK")
    print(f"Waits for Ray to place {request.workers} workers of {needs} each.", flush=True)
    while not told.is_set() and not ray.wait([group.ready()], timeout=LOOK_S)[0]:
        pass
    if told.is_set():
        return 1
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") and name != "CUDA_VISIBLE_DEVICES"}
    place = PlacementGroupSchedulingStrategy(placement_group=group)
    actor: Any = ray.remote(Worker).options(num_cpus=1, num_gpus=request.gpus, max_concurrency=2, max_restarts=0, scheduling_strategy=place)
    workers = [actor.remote(environment, os.getcwd()) for _ in range(request.workers)]
    master = ray.get(workers[0].where.remote())
    running = [worker.run.remote(str(folder), rank, request.workers, master) for rank, worker in enumerate(workers)]
    left, fine = list(running), True
    while left and fine and not told.is_set():
        ended, left = ray.wait(left, timeout=LOOK_S)
        for one in ended:
            fine = fine and _status(one) == 0
    if left:
        ray.wait([worker.stop.remote() for worker in workers], num_returns=len(workers), timeout=gang.SAVE_S)
    return 0 if fine and not left else 1


def _status(reference: Any) -> int:
    import ray

    try:
        return int(ray.get(reference))
    except ray.exceptions.RayError as error:  # its node, or its actor, is gone
        print(f"Ray lost a worker: {error!s:.300}", flush=True)
        return 1
