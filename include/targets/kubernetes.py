"""Target `kubernetes`: a step is a pod, known by the step's name, so it outlives the Airflow task that asked for it.

The pod and the worker talk through the step's folder, which lies on a volume that both have at the same path; the API server is asked
only whether the pod is there. While it gives no answer, what was last seen counts.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from include.errors import ComponentError, InputError, UpdraftError
from include.pool.ask import Ask
from include.pool.targets import DEVICES, KubernetesPlace
from include.runtime.settings import Settings
from include.spec.parts import Limits
from include.steps import contained
from include.steps.context import Request
from include.targets import kubernetes_pod as pods
from include.targets import kubernetes_words as words
from include.targets.kubernetes_api import PATIENCE_S, Cluster, Exists
from include.targets.kubernetes_options import CONNECTION, Options
from include.targets.target import Step, Target

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LOOK_S = 1.0
"""A pod is looked at this often at most."""
AWAY_LOOK_S = 5.0
EVENTS_S = 3.0
AWAY_S = 300.0
"""While a step is followed, the API server may be away for so long."""
REGISTRY_S = 120.0
"""A registry that gives no answer is tried for so long."""
STOP_S, KILL_S = 10, 1
"""Between SIGTERM and SIGKILL. Not 0: the cluster would forget a pod that may still run."""
GONE_S = 60.0
"""On top of its grace, the node may take so long to say that a pod has ended."""
PACE_S = 0.5
NODES = {"kubernetes.io/os": "linux"}
"""The label that every node of a cluster has, and no other machine."""
MLFLOW = "MLFLOW_TRACKING_URI"


@dataclass
class _Seen:
    """What is known of a pod: as it was last there, and whether it is still. ``since``: its image can't be had, or the API server gives no
    answer, since then (monotonic)."""

    pod: dict[str, Any] | None = None
    there: bool = False
    looked_at: float = float("-inf")
    events: list[dict[str, Any]] = field(default_factory=list)
    events_at: float = float("-inf")
    stuck_since: float | None = None
    away_since: float | None = None
    away: str = ""

    @property
    def runs(self) -> bool:
        """Whether it is starting, running or stopping."""
        return self.there and self.pod is not None and not words.over(self.pod)

    def hopeless(self) -> UpdraftError | None:
        """What it waits for in vain."""
        if not self.runs or self.pod is None or not words.never_began(self.pod):
            self.stuck_since = None
            return None
        self.stuck_since = self.stuck_since or time.monotonic()
        return words.hopeless(self.pod, self.events, patient=time.monotonic() - self.stuck_since < REGISTRY_S)


class KubernetesTarget(Target):
    """Runs steps in one namespace of a cluster; ``api`` is a client of it, ``place`` what a lease means there.

    One Updraft a namespace: names would meet otherwise.
    """

    local = False
    node_labels = NODES

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
        super().__init__(settings)
        self._cluster = Cluster(api, namespace, patience_s)
        self._options, self._place, self._limits = options, place, limits or Limits()
        self._known: dict[str, _Seen] = {}

    def narrow(self, ask: Ask) -> Ask:
        return ask if self._options.simulated_gpus else super().narrow(ask)

    def identity(self, runtime: str) -> str:
        options = self._options.of(runtime, self._limits)
        return f"{options.image} {options.python}"

    def start(self, step: Step, request: Request, runtime: str, environment: Mapping[str, str]) -> None:
        options = self._options.of(runtime, self._limits)
        told = {name: value for name, value in environment.items() if name not in DEVICES}
        if options.mlflow and MLFLOW in told:
            told[MLFLOW] = options.mlflow
        _reachable(told)
        if options.queue:
            self._cluster.check_queue(options.queue)
        self._bring(request, step, options)
        pod = pods.StepPod(
            name=_name(step),
            run_key=request.run_key,
            runtime=runtime,
            folder=step.folder,
            steps=self._settings.steps,
            environment=self.environment(step),
            user=options.owner(),
            attempt=uuid.uuid4().hex,
            place=self._place,
            shared=request.shared,
        )
        self._let_in(step, pod.user)
        for folder in (step.folder, Path(environment["UPDRAFT_CHECKPOINTS"])):
            _hand_over(folder, pod.user)
        self._make_secret(pods.secret(pod, told))
        try:
            self._create(step, pod, options, request)
        except UpdraftError:
            self._cluster.delete_secret(pod.name)
            raise

    def _create(self, step: Step, pod: pods.StepPod, options: Options, request: Request) -> None:
        """What runs the step; its secret is there."""
        made = self._make_pod(pods.render(pod, options), pod.attempt)
        self._known[step.name] = _Seen(made, True)

    def alive(self, step: Step) -> bool:
        seen = self._look(step)
        if seen.runs:
            return seen.hopeless() is None
        with suppress(OSError):
            os.listdir(step.folder)  # makes a network volume's client see what the pod has written last
        return False

    def says(self, step: Step) -> str:
        seen = self._known.get(step.name, _Seen())
        if seen.away_since is not None:
            return f"{seen.away} What was last seen of the step counts."
        return words.waiting(seen.pod, seen.events) if seen.pod and seen.runs else ""

    def ask_to_stop(self, step: Step) -> None:
        contained.ask_to_stop(step.folder)

    def stop(self, step: Step) -> None:
        self._remove(_name(step), STOP_S)
        self._known.pop(step.name, None)

    def kill(self, step: Step) -> None:
        self._remove(_name(step), KILL_S)
        self._known.pop(step.name, None)

    def failure(self, step: Step) -> UpdraftError:
        seen = self._look(step)
        seen.events = self._cluster.events(_name(step))
        runtime = seen.pod["metadata"]["labels"].get(pods.RUNTIME, "") if seen.pod else ""
        return seen.hopeless() or words.ended(seen.pod, seen.events, self._options.of(runtime, self._limits), str(step.folder))

    def _look(self, step: Step) -> _Seen:
        """The pod as it is, or as it was last seen while the API server is away. Raises its error when that takes too long."""
        seen = self._known.get(step.name)
        if seen is None:
            pod = self._cluster.find_pod(_name(step))
            seen = self._known[step.name] = _Seen(pod, pod is not None, time.monotonic())
        elif time.monotonic() - seen.looked_at > (LOOK_S if seen.away_since is None else AWAY_LOOK_S):
            try:
                pod = self._cluster.look_at_pod(_name(step))
                seen.pod, seen.there, seen.away_since = pod or seen.pod, pod is not None, None
            except UpdraftError as error:
                seen.away, seen.away_since = str(error), seen.away_since or time.monotonic()
                if time.monotonic() - seen.away_since > AWAY_S:
                    raise
            seen.looked_at = time.monotonic()
        if seen.runs and words.pending(seen.pod) and time.monotonic() - seen.events_at > EVENTS_S:
            seen.events, seen.events_at = self._cluster.events(_name(step)), time.monotonic()
        return seen

    def _bring(self, request: Request, step: Step, options: Options) -> None:
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
            self._cluster.create_secret(body)
        except Exists:  # of a try that died here, or of a call that was not answered
            self._cluster.delete_secret(body["metadata"]["name"])
            self._cluster.create_secret(body)

    def _make_pod(self, body: dict[str, Any], attempt: str) -> dict[str, Any]:
        name = body["metadata"]["name"]
        try:
            return self._cluster.create_pod(body)
        except Exists:
            found = self._cluster.find_pod(name)
            if found and found["metadata"].get("annotations", {}).get(pods.ATTEMPT) == attempt:
                return found  # the call that made it was not answered
            self._remove(name, STOP_S, secret=False)
            return self._cluster.create_pod(body)

    def _remove(self, name: str, grace_s: int, *, secret: bool = True) -> None:
        """End the pod and see it gone. ComponentError when its node does not say so: it may still run there."""
        pod = left = self._cluster.find_pod(name)
        if left is not None and not words.over(left):
            self._cluster.delete_pod(name, grace_s)
        until = time.monotonic() + grace_s + GONE_S
        while pod and left and left["metadata"]["uid"] == pod["metadata"]["uid"]:
            if words.over(left) or words.never_began(left):
                self._cluster.delete_pod(name, 0)
            elif time.monotonic() > until:
                raise ComponentError(
                    f"node {left['spec'].get('nodeName')} does not say that the pod has ended: it may still run there.",
                    where=f"pod {name}",
                    remedy="Bring the node back, or take it out of the cluster (kubectl delete node) once it is surely off.",
                )
            time.sleep(PACE_S)
            left = self._cluster.find_pod(name)
        if secret:
            self._cluster.delete_secret(name)


def _name(step: Step) -> str:
    return step.name.replace("_", "-").lower()


def _hand_over(folder: Path, user: int) -> None:
    """The pod's process must be able to write what a worker that is root has laid out."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)


def _reachable(environment: Mapping[str, str]) -> None:
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
