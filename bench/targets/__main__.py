"""``make bench-targets``: one step (1 s of work in the user's code) on every target at hand, and in the providers' plain operators.

Overhead is what its caller waits beyond the step's own work: container or process, interpreter, imports, the follower's next look.
Docker is left out, and says so, where no engine answers or the trainer's image is missing (``make images RUNTIMES=trainer``); Kubernetes
where there is no cluster to try it on (see ``make test-cluster``).
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from include.errors import UpdraftError
from include.kinds.requests import request_of
from include.platform import supervisord
from include.runtime.settings import REPO, Settings
from include.runtime.supervisor import Supervisor
from include.steps.context import StepRequest
from include.targets import images
from include.targets.docker import DockerTarget
from include.targets.kubernetes import KubernetesTarget
from include.targets.kubernetes_options import Options
from include.targets.process import ProcessTarget
from include.targets.target import StepState, Target
from tests.include.targets.cluster import MISSING, Space, options

POLL_S = 0.3
"""Between two looks of a task that follows its step."""
SLEEPER = """import time
import pandas as pd


def load():
    time.sleep(1)
    return pd.DataFrame({"x": range(40), "y": [0, 1] * 20})
"""
FILES = {
    "model.yaml": "name: work\ntask: classification\ndata: {source: 'data:load', target: y}\n",
    "data.py": SLEEPER,
    "train.py": "def train(X, y, params): ...\n",
    "expectations.yaml": "[]\n",
}
Way = Callable[[StepRequest], float]
"""Runs the request; seconds beyond the step's own work."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.targets", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="ud-")).resolve()
    settings = replace(Settings.load(), home=home)
    supervisord.start(settings)
    try:
        ways = ways_here(settings)
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(arguments.rounds):
            for name, way in ways.items():
                found[name].append(way(request(home / "models", f"{name}-{number}")))
    except UpdraftError as error:
        print(f"bench-targets: {error}", file=sys.stderr)
        return 1
    finally:
        Supervisor(settings).shutdown()
        shutil.rmtree(home)
    print(f"\nOverhead of a step of 1 s, {arguments.rounds} rounds, the ways in turn (seconds)\n")
    print(f"{'':<24}{'p50':>8}{'least':>8}{'most':>8}")
    for name, seconds in found.items():
        print(f"{name:<24}{statistics.median(seconds):>8.2f}{min(seconds):>8.2f}{max(seconds):>8.2f}")
    print(json.dumps({"overhead_p50_s": {name: round(statistics.median(seconds), 3) for name, seconds in found.items()}}))
    return 0


def ways_here(settings: Settings) -> dict[str, Way]:
    """By name; what this machine has no engine or image for is left out, and said."""
    ways: dict[str, Way] = {"process": lambda asked: ours(ProcessTarget(settings), asked), **on_cluster(settings)}
    try:
        client = engine()
        target = DockerTarget(settings, client)
        target.identity("trainer")
    except Exception as error:
        print(f"docker: left out ({error})", file=sys.stderr)
        return ways
    return ways | {"docker": lambda asked: ours(target, asked), "DockerOperator": lambda asked: operators(settings, asked)}


def on_cluster(settings: Settings) -> dict[str, Way]:
    if MISSING:
        print(f"kubernetes: left out ({', '.join(MISSING)} not set)", file=sys.stderr)
        return {}
    space, models = Space(), settings.home / "models"
    models.mkdir(exist_ok=True)
    settings.steps.mkdir(exist_ok=True)
    atexit.register(space.close)
    target = KubernetesTarget(settings, space.api, space.name, options(settings, models))
    return {
        "kubernetes": lambda asked: ours(target, asked),
        "KubernetesPodOperator": lambda asked: pod_operators(settings, space.name, options(settings, models), asked),
    }


def engine() -> Any:
    from docker.api.client import APIClient
    from docker.utils import kwargs_from_env

    return APIClient(version="auto", **kwargs_from_env())


def request(models: Path, key: str) -> StepRequest:
    """Of step `extract`, whose work is to wait."""
    folder = models / "work"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return request_of(folder / "model.yaml", "extract", key)


def ours(target: Target, asked: StepRequest) -> float:
    started = time.monotonic()
    step = target.submit(asked, "trainer")
    while target.state(step) is StepState.RUNNING:
        time.sleep(POLL_S)
    result = target.result(step)
    return time.monotonic() - started - float(result["work_s"])


def operators(settings: Settings, asked: StepRequest) -> float:
    """The same step as the command of a plain DockerOperator."""
    from airflow.providers.docker.operators.docker import DockerOperator
    from docker.types import Mount

    folder = settings.steps / asked.run_key
    (folder / "tmp").mkdir(parents=True)
    asked.save(folder)
    operator = DockerOperator(
        task_id="step",
        image=images.name("trainer"),
        command=["python", "-m", "include.steps", str(folder)],
        docker_url=os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
        network_mode="host",
        mount_tmp_dir=False,
        auto_remove="force",
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"PYTHONPATH": str(REPO), "TMPDIR": str(folder / "tmp"), "UPDRAFT_HOME": str(settings.home)},
        mounts=[Mount(str(path), str(path), type="bind") for path in (REPO / "include", folder, Path(asked.spec).parent)],
    )
    started = time.monotonic()
    operator.execute({})
    wall_s = time.monotonic() - started
    return wall_s - float(json.loads((folder / "result.json").read_text())["work_s"])


def pod_operators(settings: Settings, namespace: str, given: Options, asked: StepRequest) -> float:
    """The same step, in the same image and volumes, as the command of a plain KubernetesPodOperator."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import V1Volume, V1VolumeMount

    folder = settings.steps / asked.run_key
    (folder / "tmp").mkdir(parents=True)
    asked.save(folder)
    paths = [str(settings.steps), *(mount.path for mount in given.mounts)]
    operator = KubernetesPodOperator(
        task_id="step",
        name="step",
        kubernetes_conn_id=None,
        config_file=os.environ["KUBECONFIG"],
        namespace=namespace,
        image=given.image,
        image_pull_policy=given.pull,
        cmds=[given.of("trainer").python, "-m", "include.steps", str(folder)],
        env_vars={"PYTHONPATH": str(REPO), "TMPDIR": str(folder / "tmp"), "UPDRAFT_HOME": str(settings.home)},
        volumes=[V1Volume(name=f"v{number}", host_path={"path": path}) for number, path in enumerate(paths)],
        volume_mounts=[V1VolumeMount(name=f"v{number}", mount_path=path) for number, path in enumerate(paths)],
    )
    instance = SimpleNamespace(dag_id="bench", task_id="step", map_index=-1, try_number=1, xcom_push=lambda **_: None)
    started = time.monotonic()
    operator.execute({"ti": instance, "run_id": asked.run_key, "dag": None})
    wall_s = time.monotonic() - started
    return wall_s - float(json.loads((folder / "result.json").read_text())["work_s"])


if __name__ == "__main__":
    sys.exit(main())
