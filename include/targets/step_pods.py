"""What a step needs in a namespace of a cluster, whatever runs it there: its folders handed over, its Secret, and an end that is seen."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from include.errors import ComponentError, InputError
from include.kubernetes import words
from include.kubernetes.client import CONNECTION
from include.pool.ask import Ask
from include.pool.grants import DEVICES, KubernetesPlace
from include.runtime.settings import Settings
from include.spec.parts import Limits
from include.steps.context import StepRequest
from include.targets import confined
from include.targets import kubernetes_pod as pods
from include.targets.kubernetes_api import PATIENCE_S, Cluster, Exists
from include.targets.kubernetes_options import Options
from include.targets.target import Step

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

STOP_S, KILL_S = 10, 1
"""Between SIGTERM and SIGKILL. Not 0: the cluster would forget a pod that may still run."""
GONE_S = 60.0
"""On top of its grace, the node may take so long to say that a pod has ended."""
PACE_S = 0.5
NODES = {"kubernetes.io/os": "linux"}
"""The label that every node of a cluster has, and no other machine."""
MLFLOW = "MLFLOW_TRACKING_URI"


class StepPods:
    """Prepares steps in one namespace, and ends what is left of them; ``place``: what a lease means there."""

    def __init__(
        self,
        settings: Settings,
        api: ApiClient,
        namespace: str,
        options: Options,
        place: KubernetesPlace | None = None,
        limits: Limits | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.cluster = Cluster(api, namespace, patience_s)
        self._settings, self._options, self._place, self._limits = settings, options, place, limits or Limits()

    def options(self, runtime: str) -> Options:
        """As they are for one runtime."""
        return self._options.of(runtime, self._limits)

    def narrow(self, ask: Ask) -> Ask:
        """The ask, for GPUs of a cluster's nodes, unless steps may hold simulated ones."""
        return ask if self._options.simulated_gpus else ask.among(NODES)

    def prepare(
        self, step: Step, request: StepRequest, runtime: str, environment: Mapping[str, str], own: Mapping[str, str]
    ) -> tuple[pods.StepPod, Options]:
        """What is to run, and how: folders are handed over and the Secret with ``environment`` is there. ``own``: what every step finds."""
        options = self.options(runtime)
        told = {name: value for name, value in environment.items() if name not in DEVICES}
        if options.mlflow and MLFLOW in told:
            told[MLFLOW] = options.mlflow
        reachable(told)
        if options.queue:
            self.cluster.check_queue(options.queue)
        self._bring(request, step, options)
        given = [value for value in request.inputs.values() if value.startswith("/")]
        pod = pods.StepPod(
            name=name_of(step),
            run_key=request.run_key,
            runtime=runtime,
            folder=step.folder,
            steps=self._settings.steps,
            environment={**own, **confined.tcp_of(request, told.get(MLFLOW, ""))},
            user=options.owner(),
            attempt=uuid.uuid4().hex,
            place=self._place,
            shared=request.shared,
            needs=tuple(Path(path) for path in (request.folder, *request.reads, *request.keeps, *given)),
        )
        self._let_in(step, pod.user)
        for folder in (step.folder, Path(environment["UPDRAFT_CHECKPOINTS"]), *map(Path, request.keeps)):
            folder.mkdir(parents=True, exist_ok=True)
            _hand_over(folder, pod.user)
        self._make_secret(pods.secret(pod, told))
        return pod, options

    def _bring(self, request: StepRequest, step: Step, options: Options) -> None:
        """Inputs that lie where no volume of the pod's is (the champion, as it is served) come along in the step's folder."""
        there = (self._settings.steps, *(Path(mount.path) for mount in options.mounts))
        brought = {}
        for name, value in request.inputs.items():
            path = Path(value)
            if path.is_absolute() and path.exists() and not any(path.is_relative_to(folder) for folder in there):
                brought[name] = step.folder / "inputs" / name
                brought[name].parent.mkdir(exist_ok=True)
                shutil.copytree(path, brought[name]) if path.is_dir() else shutil.copyfile(path, brought[name])
        if brought:
            replace(request, inputs={**request.inputs, **{name: str(path) for name, path in brought.items()}}).save(step.folder)

    def _let_in(self, step: Step, user: int) -> None:
        """A worker that is root makes folders that nobody else may pass."""
        if os.getuid() == 0:
            self._settings.steps.chmod(self._settings.steps.stat().st_mode | 0o011)
            for folder in (step.folder.parent, step.folder.parent / "checkpoints"):
                os.chown(folder, user, user)

    def _make_secret(self, body: dict[str, Any]) -> None:
        try:
            self.cluster.create_secret(body)
        except Exists:  # of a try that died here, or of a call that was not answered
            self.cluster.delete_secret(body["metadata"]["name"])
            self.cluster.create_secret(body)

    def make_pod(self, body: dict[str, Any], attempt: str) -> dict[str, Any]:
        name = body["metadata"]["name"]
        try:
            return self.cluster.create_pod(body)
        except Exists:
            found = self.cluster.find_pod(name)
            if found and found["metadata"].get("annotations", {}).get(pods.ATTEMPT) == attempt:
                return found  # the call that made it was not answered
            self.remove(name, STOP_S, secret=False)
            return self.cluster.create_pod(body)

    def remove(self, name: str, grace_s: int, *, secret: bool = True) -> None:
        """End the pod and see it gone. ComponentError when its node does not say so: it may still run there."""
        pod = left = self.cluster.find_pod(name)
        if left is not None and not words.over(left):
            self.cluster.delete_pod(name, grace_s)
        until = time.monotonic() + grace_s + GONE_S
        while pod and left and left["metadata"]["uid"] == pod["metadata"]["uid"]:
            if words.over(left) or words.never_began(left):
                self.cluster.delete_pod(name, 0)
            elif time.monotonic() > until:
                raise ComponentError(
                    f"node {left['spec'].get('nodeName')} does not say that the pod has ended: it may still run there.",
                    where=f"pod {name}",
                    remedy="Bring the node back, or take it out of the cluster (kubectl delete node) once it is surely off.",
                )
            time.sleep(PACE_S)
            left = self.cluster.find_pod(name)
        if secret:
            self.cluster.delete_secret(name)


def name_of(step: Step) -> str:
    """Of the step's objects on the cluster."""
    return step.name.replace("_", "-").lower()


def _hand_over(folder: Path, user: int) -> None:
    """The pod's process must be able to write what a worker that is root has laid out."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)


def reachable(environment: Mapping[str, str]) -> None:
    """InputError when MLflow's address is one that no pod can reach."""
    url = environment.get(MLFLOW, "")
    host = urlsplit(url).hostname or ""
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if loopback:
        raise InputError(
            f"MLflow's address is {url}, which a pod can't reach.",
            where="connection updraft_door",
            remedy=f"Say where they do in `steps.mlflow` of connection {CONNECTION}; UPDRAFT_STEPS_HOST=ADDRESS opens a door to it.",
        )
